package dialect

import "github.com/google/uuid"

// UntilDueSQL, DueSQL, LockDueSQL and MoveSQL are the statements of MoveDue, with
// n rows where it names rows; the last are the INSERT and the DELETE.
func (r *Relay) UntilDueSQL() string { return r.scheduled.until }

// DueSQL leaves out one key, and what comes before a row, if behind.
func (r *Relay) DueSQL(limit int, behind bool) (string, []any) {
	if !behind {
		return r.dueQuery(limit, nil, nil)
	}
	after := &dueRow{seq: 7, deliverAt: "2020-01-01T00:00:00.000000Z"[:r.deliverAtLen()]}
	return r.dueQuery(limit, after, []EventKey{{Topic: "orders", Key: "k"}})
}

func (r *Relay) deliverAtLen() int {
	if r.names.Dialect == MySQL {
		return 26
	}
	return 27
}

func (r *Relay) LockDueSQL(n int) (string, []any) {
	due := make([]dueRow, n)
	for i := range due {
		due[i] = dueRow{seq: int64(i + 1), eventID: uuid.NewString()}
	}
	return r.scheduled.lock(due)
}

func (r *Relay) MoveSQL(n int) (statements []string, args []any) {
	seqs := make([]int64, n)
	for i := range seqs {
		seqs[i] = int64(i + 1)
	}
	statements, args = r.moveStatements(seqs)
	return statements, args
}
