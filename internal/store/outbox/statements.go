package outbox

import (
	"embed"

	"github.com/postroom/postroom/internal/db"
)

//go:embed *.sql
var files embed.FS

// statements are those that every dialect has. The .sql files give the reasons.
type statements struct {
	InsertEvents, InsertScheduled, CancelScheduled string
	ReadEvents, ReadScheduled                      string

	OpenRun, NewestRun, RestartRun, StartRun string
	HoldRun, AdvanceRun, FinishRun           string
}

// lockStatements are those of the dialects that have locks on keys and rows: not of SQLite.
type lockStatements struct{ LockKeys, NextEvent, TakenEvent string }

// load reads the statements of n. Those of locks stay empty on SQLite.
func load(n db.Names) (all statements, locks lockStatements, err error) {
	if err := n.Validate(); err != nil {
		return all, locks, err
	}
	both := []any{&all, &locks}
	err = db.Load(files, n, db.For(n.Dialect, both, both, []any{&all})...)
	return all, locks, err
}
