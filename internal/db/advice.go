package db

// Advice says what to do about the database errors that a new user sees. A subject fills in the advice that depends on
// its tables and calls. Of has the advice that is the same for every subject. An empty field gives no advice.
type Advice struct {
	New          string // the call that was given the dialect, such as "inbox.New"
	MissingTable string // how to make the tables
	Denied       string // which rights the database user needs
	TxDone       string // what must come before the transaction's end
}

// Of returns the advice for err, to be appended to it: " (…)", or "" if there is none.
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
