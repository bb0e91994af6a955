package inbox

import (
	"context"
	"database/sql"
	"fmt"
	"sync/atomic"
	"time"

	sqldb "github.com/postroom/postroom/internal/db"
)

// Counts counts the messages that an Inbox has finished since New, in this process. The values only increase, as
// counters of a metrics library do.
type Counts struct {
	Applied    int64
	Duplicates int64 // dropped, because an earlier delivery was handled
	Parked     int64 // all attempts failed, or such a message blocks the key
}

// Stats describes a consumer as the tables show it, for all its processes together. The values are gauges.
type Stats struct {
	// Rows is how many rows the consumer has in inbox_events, and Window the age of the oldest: how far back
	// duplicates are recognised. With more than 20,000 rows they may be Estimated: on PostgreSQL from a sample,
	// where the window may be a little longer; on MySQL only Rows is an estimate.
	Rows      int64
	Window    time.Duration
	Estimated bool

	// Parked messages by their state. If there are 200,000 together, there may be more.
	Failed    int64 // wait for an operator
	Blocked   int64 // wait behind one of their key
	Requested int64 // an operator asked to retry or drop them
	// OldestParked is for how long the oldest of these messages is parked; 0: there is none.
	OldestParked time.Duration
	BlockedKeys  int64 // keys with parked messages

	// Attempts that have begun and not ended, or whose process died, and the age of the oldest.
	Attempts      int64
	OldestAttempt time.Duration
}

// Stats reads what the tables show of the consumer, by the database's clock. It reads a bounded part of them, which
// takes some ten milliseconds. That is cheap enough for a metrics endpoint that is read every 15 s or less often,
// and too much for every message. Safe for use by many goroutines.
func (ib *Inbox) Stats(ctx context.Context, db *sql.DB) (Stats, error) {
	s, err := ib.store.Status(ctx, db, ib.consumer)
	if err != nil {
		return Stats{}, fmt.Errorf("inbox: stats of %q: %w%s", ib.consumer, err, hint(err))
	}
	if len(s.Consumers) == 0 {
		return Stats{}, nil
	}
	c := s.Consumers[0]
	return Stats{
		Rows: c.Rows, Window: c.Window, Estimated: c.Estimated,
		Failed: c.Parked[sqldb.ParkedFailed], Blocked: c.Parked[sqldb.ParkedBlocked],
		Requested:    c.Parked[sqldb.ParkedRetry] + c.Parked[sqldb.ParkedDrop],
		OldestParked: c.ParkedAge, BlockedKeys: c.BlockedKeys,
		Attempts: c.Attempts, OldestAttempt: c.OldestAttempt,
	}, nil
}

// Counts returns what this Inbox has done so far. It does not use the database. Safe for use by many goroutines.
func (ib *Inbox) Counts() Counts {
	return Counts{Applied: ib.counts[Applied].Load(), Duplicates: ib.counts[Duplicate].Load(),
		Parked: ib.counts[Parked].Load()}
}

// counted counts outcomes.
func (ib *Inbox) counted(outcomes ...Outcome) {
	for _, o := range outcomes {
		ib.counts[o].Add(1)
	}
}

// counters has one counter for each Outcome.
type counters [Parked + 1]atomic.Int64
