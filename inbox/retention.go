package inbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// DefaultPruneEvery is how often KeepPruned prunes.
const DefaultPruneEvery = time.Hour

// ErrShortRetention: rows would be deleted while their messages are still tried.
var ErrShortRetention = errors.New("the retention is shorter than the retry window")

// Retention says how KeepPruned keeps the inbox small.
type Retention struct {
	PruneOptions

	// Every is the time between two rounds. 0: DefaultPruneEvery.
	Every time.Duration

	// OnPruned is told of each round, for metrics; nil: nobody is. Called from
	// KeepPruned's goroutine.
	OnPruned func(Pruned)
}

// Pruned is one round of KeepPruned.
type Pruned struct {
	Deleted int64 // rows
	// Window is the age of the consumer's oldest row that was kept, by the database's clock: how
	// far back duplicates are recognised. 0: there is no row.
	Window time.Duration
	Took   time.Duration
	Err    error // why the round ended early
}

// KeepPruned runs Prune at once and then from time to time until ctx ends, and returns nil
// then. Run it in a goroutine beside the consumer, in as many processes as you like. A round
// that fails is logged and told to OnPruned; the next one goes on with the rest.
//
// It refuses options that Prune refuses, and, with ErrShortRetention, a retention that is
// shorter than the time for which this inbox tries a message: a copy that is
// redelivered meanwhile would find no row.
func (ib *Inbox) KeepPruned(ctx context.Context, db *sql.DB, r Retention) error {
	if err := ib.checkRetention(&r); err != nil {
		return fmt.Errorf("inbox: keep %s pruned for %q: %w", ib.table, ib.consumer, err)
	}
	for {
		round := ib.pruneOnce(ctx, db, r)
		if ctx.Err() != nil {
			return nil
		}
		if round.Err != nil {
			ib.log.Warn("inbox: pruning ended early, the rest is for the next round", "deleted", round.Deleted, "error", round.Err)
		}
		if r.OnPruned != nil {
			r.OnPruned(round)
		}
		if ib.sleep(ctx, r.Every) != nil {
			return nil
		}
	}
}

// CheckRetention returns what KeepPruned would refuse r with, for a program that wants to know
// before it begins. It talks to nobody.
func (ib *Inbox) CheckRetention(r Retention) error {
	if err := ib.checkRetention(&r); err != nil {
		return fmt.Errorf("inbox: keep %s pruned for %q: %w", ib.table, ib.consumer, err)
	}
	return nil
}

func (ib *Inbox) checkRetention(r *Retention) error {
	if r.Every < 0 {
		return fmt.Errorf("time between rounds: Every is %s: want a time, or 0 for %s", r.Every, DefaultPruneEvery)
	}
	if r.Every == 0 {
		r.Every = DefaultPruneEvery
	}
	if options := r.PruneOptions; options.defaults() != nil {
		return options.defaults()
	}
	if window := ib.retryWindow(); r.Retention < window {
		return fmt.Errorf("%w: %s, but %d attempts take up to %s (WithMaxAttempts, WithBackoff)", ErrShortRetention, r.Retention, ib.attempts, window)
	}
	return nil
}

// retryWindow is the longest time that the pauses between the attempts at a message take.
func (ib *Inbox) retryWindow() (sum time.Duration) {
	pause := ib.backoff.min
	for range ib.attempts - 1 {
		sum += pause
		pause = min(2*pause, ib.backoff.max)
	}
	return sum
}

func (ib *Inbox) pruneOnce(ctx context.Context, db *sql.DB, r Retention) Pruned {
	start := time.Now()
	deleted, err := ib.Prune(ctx, db, r.PruneOptions)
	round := Pruned{Deleted: deleted, Err: err}
	if round.Window, err = ib.Window(ctx, db); round.Err == nil {
		round.Err = err
	}
	round.Took = time.Since(start)
	return round
}

// Window returns the age of the consumer's oldest row, by the database's clock: how far back
// duplicates are recognised. 0: there is no row. On PostgreSQL it reads the table once.
func (ib *Inbox) Window(ctx context.Context, db *sql.DB) (time.Duration, error) {
	age, err := ib.store.OldestMessage(ctx, db, ib.consumer)
	if err != nil {
		return 0, fmt.Errorf("inbox: read the oldest row of %s for %q: %w%s", ib.table, ib.consumer, err, hint(err))
	}
	return age, nil
}
