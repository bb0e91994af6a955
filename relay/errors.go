package relay

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/postroom/postroom/internal/db"
)

// Errors of Run, found with errors.Is.
var (
	ErrNotMigrated = errors.New("the outbox tables are not there: run `relay migrate up`, or migrations.Apply")
	ErrStandby     = errors.New("the database is a standby, which may lag behind: connect to the primary")
	ErrWrongSource = errors.New("wrong source name")
	ErrNotDrained  = errors.New("not drained")
)

// RejectedError says which event stopped a source: the sink rejects it, and would
// reject it again. Remove the reason, which Err says, and start the relay again: it goes on with
// this event. Nothing was lost. Later events of the key may have been delivered already, if the
// sink took them in the same batch: see Overtaken.
type RejectedError struct {
	Table   string
	ID      int64 // the row's
	EventID uuid.UUID
	Topic   string
	Err     error // what the sink said

	// Overtaken: later events of its key were delivered already, as far as is known.
	Overtaken bool

	hash uint64 // of topic and key; 0: no key
	seq  int64  // of the parked row; 0: the row is in outbox_events
}

func (e *RejectedError) Error() string {
	return fmt.Sprintf("halted: the sink rejects row %d of %s (event %s, topic %q): %v; mend the cause or take the "+
		"row out, then start again",
		e.ID, e.Table, e.EventID, e.Topic, e.Err)
}

func (e *RejectedError) Unwrap() error { return e.Err }

// explainAtStart says of a database's error at start what to do about it.
func (r *Relay) explainAtStart(err error) error {
	switch {
	case db.IsMissingTable(err), errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("%w (%s: %w)", ErrNotMigrated, r.cfg.table(), err)
	case db.IsDenied(err):
		return fmt.Errorf("the relay's user lacks a right on the tables of %s: grant what docs/tables.md lists: %w",
			r.cfg.table(), err)
	case db.IsSyntax(err):
		return fmt.Errorf("is this another database than the one of Config.Dialect? %w", err)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the database did not answer in %v: check the address and that it accepts connections: %w",
			startTimeout, err)
	}
	return fmt.Errorf("look at the outbox tables: %w", err)
}

// explainArchive says what to do about an error of the archive.
func explainArchive(cfg *Config, err error) error {
	switch {
	case !cfg.Archive:
	case db.IsMissingTable(err):
		return fmt.Errorf("the archive of %s is on and its table is not there: run `relay migrate up`, or turn the "+
			"archive off: %w", cfg.table(), err)
	case db.IsDenied(err):
		return fmt.Errorf("the archive of %s is on and the relay's user lacks a right on it: grant SELECT, INSERT and "+
			"DELETE on outbox_archive, or turn the archive off: %w",
			cfg.table(), err)
	}
	return err
}
