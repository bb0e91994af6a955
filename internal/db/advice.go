package db

// Advice says what to do about the errors of a database that a first user meets. A subject fills in what depends on its
// tables and calls; what is the same for every subject is in Of. An empty field gives no advice.
type Advice struct {
	New          string // the call that was given the dialect, such as "inbox.New"
	MissingTable string // how to make the tables
	Denied       string // which rights the database user needs
	TxDone       string // what belongs before the transaction's end
}

// Of returns the advice for err, to be put behind it: " (…)", or "" where there is none.
func (a Advice) Of(err error) string {
	advice := ""
	switch {
	case IsRefused(err):
		advice = NothingListens
	case IsMissingTable(err):
		advice = a.MissingTable
	case IsDenied(err):
		advice = a.Denied
	case IsTxDone(err):
		advice = a.TxDone
	case IsSyntax(err) && a.New != "":
		advice = "is this another database than the dialect that " + a.New + " was given?"
	case IsPreparedStatement(err):
		advice = "a pooler such as pgbouncer in transaction mode gives each transaction another server connection: " +
			"for pgx add default_query_exec_mode=cache_describe to the connection string, " +
			"or set max_prepared_statements in pgbouncer 1.21 or later"
	case IsBusy(err):
		advice = "another connection writes: let this one wait with PRAGMA busy_timeout = 10000, " +
			"and begin transactions with BEGIN IMMEDIATE"
	}
	if advice == "" {
		return ""
	}
	return " (" + advice + ")"
}
