package inbox

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/postroom/postroom/internal/dialect"
)

// maxAsked is how many rows one call of Replay looks at.
const maxAsked = 1_000

// Replay does what operators asked for by `relay inbox parked retry` and `drop`: it runs
// h for the parked messages of this consumer that are to be retried, and deletes those that are to
// be dropped. A key's messages run in order, those that wait behind the first after it by
// themselves, until one fails; the last one lets the key go on. It returns how many
// messages it applied or dropped.
//
// Each message is one transaction: h's effect and the end of the parked row commit together, and the
// next row of the key is to be retried from then on. On PostgreSQL it is READ COMMITTED, whatever the
// database's default. A message that fails, or that kills the process, is 'failed' again, and waits for
// another retry; one that the database went away from, or ctx's end took it from, is not.
// Run it about every second beside the consumer; in any number of processes.
// The error is the database's or ctx's; a handler's is in the row and in the log.
func (ib *Inbox) Replay(ctx context.Context, db *sql.DB, h Handler) (int, error) {
	if db == nil || h == nil {
		return 0, fmt.Errorf("inbox: replay for %q: the database or the handler is nil", ib.consumer)
	}
	asked, err := ib.store.AskedParked(ctx, db, ib.consumer, maxAsked)
	if err != nil {
		return 0, fmt.Errorf("inbox: read %s for %q: %w%s", ib.parked, ib.consumer, err, hint(err))
	}
	p := &replay{ib: ib, db: db, handler: h}
	seen := map[string]bool{}
	for _, a := range asked {
		if a.Key != nil {
			if name := a.Topic + "\x00" + *a.Key; seen[name] {
				continue
			} else {
				seen[name] = true
			}
		}
		if err := p.key(ctx, a); err != nil {
			return p.done, fmt.Errorf("inbox: replay %s for %q: %w%s", ib.parked, ib.consumer, err, hint(err))
		}
	}
	return p.done, nil
}

// replay is one call of Replay.
type replay struct {
	ib      *Inbox
	db      *sql.DB
	handler Handler
	done    int
}

// key runs a row that has no key, or all that a key has to run.
func (p *replay) key(ctx context.Context, a dialect.InboxAsked) error {
	for {
		seq, more, err := p.next(ctx, a)
		if err != nil || !more {
			return err
		}
		ok, err := p.apply(ctx, a, seq)
		if err != nil || !ok || a.Key == nil {
			return err
		}
	}
}

// begin begins a transaction that locks a key. PostgreSQL's is to see what was committed before each of its
// statements, whatever the database's default: by an older snapshot the message that was parked while
// this one waited for the lock is not there, and its key goes on without it (hazard 24).
func (p *replay) begin(ctx context.Context) (*sql.Tx, error) {
	var opts *sql.TxOptions
	if p.ib.names.Dialect == PostgreSQL {
		opts = &sql.TxOptions{Isolation: sql.LevelReadCommitted}
	}
	return p.db.BeginTx(ctx, opts)
}

// inTx runs fn in a transaction, again if another one was in the way.
func (p *replay) inTx(ctx context.Context, fn func(tx *sql.Tx) error) error {
	for n := 1; ; n++ {
		err := func() error {
			tx, err := p.begin(ctx)
			if err != nil {
				return err
			}
			defer func() { _ = tx.Rollback() }()
			if err := fn(tx); err != nil {
				return err
			}
			return tx.Commit()
		}()
		if err == nil || !dialect.IsSerialization(err) {
			return err
		}
		if err := p.ib.sleep(ctx, conflictBackoff.after(n)); err != nil {
			return err
		}
	}
}

// next begins an attempt at the row whose turn it is, and commits that; more is false if there is none.
// What is to be dropped before it, is.
func (p *replay) next(ctx context.Context, a dialect.InboxAsked) (seq int64, more bool, err error) {
	var dropped []int64
	err = p.inTx(ctx, func(tx *sql.Tx) error {
		dropped, more = nil, false
		for {
			var state string
			if seq, state, more, err = p.head(ctx, tx, a); err != nil || !more {
				return err
			}
			if state != "drop" {
				more, err = p.ib.store.ClaimParked(ctx, tx, p.ib.consumer, seq, state)
				return err
			}
			gone, err := p.remove(ctx, tx, a, seq)
			if err != nil {
				return err
			}
			if gone {
				dropped = append(dropped, seq)
			}
			if a.Key == nil {
				more = false
				return nil
			}
		}
	})
	if err != nil {
		if more { // and COMMIT may have taken effect
			p.giveBack(ctx, seq)
		}
		return 0, false, err
	}
	for _, seq := range dropped {
		p.done++
		p.ib.log.Warn("inbox: dropped a parked message", "seq", seq, "topic", a.Topic)
	}
	return seq, more, nil
}

// head returns the row whose turn it is, of those that may run: its key's first, or, where the key
// does not stand still, the first that was asked for.
func (p *replay) head(ctx context.Context, tx *sql.Tx, a dialect.InboxAsked) (seq int64, state string, ok bool, err error) {
	if a.Key == nil {
		row, ok, err := p.ib.store.ReadParked(ctx, tx, p.ib.consumer, a.Seq)
		return a.Seq, row.State, ok && (row.State == "retry" || row.State == "drop"), err
	}
	blocked, err := p.ib.store.LockBlocked(ctx, tx, p.ib.consumer, a.Topic, *a.Key)
	if err != nil {
		return 0, "", false, err
	}
	seq, state, ok, err = p.ib.store.FirstParked(ctx, tx, p.ib.consumer, a.Topic, *a.Key, !blocked)
	if err != nil || !ok || state != "failed" {
		return seq, state, ok, err
	}
	// It has failed again, or killed the process: what was asked for beside it waits behind it.
	return 0, "", false, p.ib.store.HoldBackParked(ctx, tx, p.ib.consumer, a.Topic, *a.Key, seq)
}
