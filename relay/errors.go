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

// RejectedError says which event stopped a source. The sink rejects the event, and would reject it again.
// Remove the reason, which Err says, and start the relay again: it continues with this event. Nothing was
// lost. Later events of the key may have been delivered already, if the sink accepted them in the same batch:
// see Overtaken.
type RejectedError struct {
	Table   string
	ID      int64 // the row's id
	EventID uuid.UUID
	Topic   string
	Err     error // the sink's error

	// Overtaken is true if later events of its key are known to be delivered already.
	Overtaken bool

	hash uint64 // of topic and key; 0: no key
	seq  int64  // of the parked row; 0: the row is in outbox_events
}

// keyed reports whether the event has a key.
func (e *RejectedError) keyed() bool { return e.hash != 0 }

// parked reports whether the event's row is in outbox_parked: it was parked before, and sent again.
func (e *RejectedError) parked() bool { return e.seq > 0 }

func (e *RejectedError) Error() string {
	return fmt.Sprintf("halted: the sink rejects row %d of %s (event %s, topic %q): %v; mend the cause or take the "+
		"row out, then start again",
		e.ID, e.Table, e.EventID, e.Topic, e.Err)
}

func (e *RejectedError) Unwrap() error { return e.Err }

// explainAtStart adds to a database error at start what an operator can do about it.
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

// explainArchive adds to an error of the archive what an operator can do about it.
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
