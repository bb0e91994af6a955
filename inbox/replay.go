package inbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/postroom/postroom/internal/db"
	store "github.com/postroom/postroom/internal/store/inbox"
)

// What bounds a run of Replay: no key has more than its share at a time, however many of its messages wait.
const (
	// maxRequested is how many rows one look for what was asked for reads, and about how many keys take turns.
	maxRequested = 1_000
	// firstTogether and maxTogether are how many messages of a key share a transaction: at first, and after some
	// that went well.
	firstTogether = 32
	maxTogether   = 1_024
	// maxTogetherBytes bounds what a transaction's messages hold in memory; one message may be larger.
	maxTogetherBytes = 4 << 20
	// roundTime is about what one round of all keys takes, if their handlers are quick; no key gets
	// less than minTurn or more than maxTurn of it.
	roundTime = time.Second
	minTurn   = 10 * time.Millisecond
	maxTurn   = 250 * time.Millisecond
)

// Replay does what operators asked for by `relay inbox parked retry` and `drop`: it runs
// h for the parked messages of this consumer that are to be retried, and deletes those that are to
// be dropped. A key's messages run in order, those that wait behind the first after it by
// themselves, until one fails; the last one lets the key go on. It returns how many
// messages it applied or dropped.
//
// Keys take turns. A message that has failed before is one transaction: h's effect and the end of the parked row
// commit together, and the next row of the key is to be retried from then on. Those that only waited behind it run
// several in one transaction, in order; if that fails, its messages run one by one. On PostgreSQL it is
// READ COMMITTED, whatever the database's default. A message that fails, or that kills the process, is 'failed'
// again, and waits for another retry; one that the database went away from, or ctx's end took it from, is not.
// After a process was killed in the middle of several messages, the first of them is 'failed', and all run one by one.
// Run it about every second beside the consumer; in any number of processes.
// What is asked for while it runs is done as well, so that one call can last as long as messages of a key keep
// coming. The error is the database's or ctx's; a handler's is in the row and in the log.
func (ib *Inbox) Replay(ctx context.Context, db *sql.DB, h Handler) (int, error) {
	if db == nil || h == nil {
		return 0, fmt.Errorf("inbox: replay for %q: the database or the handler is nil", ib.consumer)
	}
	p := &replay{ib: ib, db: db, handler: h, known: map[string]bool{}, knownSince: time.Now()}
	err := p.run(ctx)
	if err != nil {
		err = fmt.Errorf("inbox: replay %s for %q: %w%s", ib.parked, ib.consumer, err, hint(err))
	}
	return p.done, err
}

// requests is what a replay needs to find its work, and to keep the order of a key.
type requests interface {
	// Requests returns rows that operators want retried or dropped, after seq.
	Requests(ctx context.Context, q db.Queryer, consumer string, after int64, limit int) ([]store.Request, error)
	// ParkedOfKey returns the first rows of a locked key after seq, or only those that operators want retried or
	// dropped.
	ParkedOfKey(ctx context.Context, tx db.Queryer, consumer, topic, key string, after int64, requestedOnly bool,
		most int) ([]store.ParkedSummary, error)
	// BlockFollowers has the rows that were to be retried wait behind the key's first.
	BlockFollowers(ctx context.Context, tx db.Execer, consumer, topic, key string, head int64) error
	// Unblock has the next row of a key retried, or unblocks the key.
	Unblock(ctx context.Context, tx db.Queryer, consumer, topic, key string, after int64) error
}

// parkedMessages is what a replay needs to run one parked message.
type parkedMessages interface {
	// ClaimParked begins an attempt at a row in the given state; UnclaimParked takes it back.
	ClaimParked(ctx context.Context, tx db.Execer, consumer string, seq int64, state string) (bool, error)
	UnclaimParked(ctx context.Context, q db.Execer, consumer string, seq int64) error
	// FailParked keeps the error of an attempt.
	FailParked(ctx context.Context, q db.Execer, consumer string, seq int64, reason string) error
	// DeleteParked and ReadParked report whether the row was there; ReadParked locks it.
	DeleteParked(ctx context.Context, tx db.Execer, consumer string, seq int64) (bool, error)
	ReadParked(ctx context.Context, tx db.Queryer, consumer string, seq int64) (store.ParkedRow, bool, error)
	HasParked(ctx context.Context, tx db.Queryer, consumer string, seq int64) (bool, error)
}

// parkedSpans is what a replay needs to run several messages of a key in one transaction.
type parkedSpans interface {
	// ClaimSpan begins an attempt at rows that have had none; UnclaimSpan takes it back.
	ClaimSpan(ctx context.Context, tx db.Execer, span store.Span) (int64, error)
	UnclaimSpan(ctx context.Context, q db.Execer, span store.Span) error
	ReadSpan(ctx context.Context, tx db.Queryer, span store.Span) ([]store.ParkedRow, error)
	// DeleteSpan deletes nothing if the row gone is there again, because the transaction has ended.
	DeleteSpan(ctx context.Context, tx db.Execer, span store.Span, gone int64) (int64, error)
}

// replay is one call of Replay.
type replay struct {
	ib      *Inbox
	db      *sql.DB
	handler Handler
	done    int

	queues      []*keyQueue     // those that have something to do, in the order of their turns
	known       map[string]bool // the queues, and those that had nothing to do any more
	requestedTo int64           // seq up to which what was asked for is known
	knownSince  time.Time       // when known was last cut down to the queues
	lockWait    lockWait        // the wait for a key's lock
}

// keyQueue is the parked messages of a key, or one message without a key.
type keyQueue struct {
	store.Request
	name string

	blocked   bool  // the key was blocked at the last turn
	last      int64 // the last seq that is done, in this run and while the key was blocked: no row of it is below
	batchSize int   // so many messages share the next transaction
	oneByOne  int   // so many run alone before that: one of them failed together with others
	conflicts int   // in a row
}

// run gives each queue its turn, until none is left. It looks for what is new after each round, so that nobody who
// asks for a message of another key waits until a long one is done.
func (p *replay) run(ctx context.Context) error {
	for {
		if err := p.findRequested(ctx); err != nil || len(p.queues) == 0 {
			return err
		}
		share := min(max(roundTime/time.Duration(len(p.queues)), minTurn), p.ib.turn)
		left := p.queues[:0]
		for _, q := range p.queues {
			more, err := p.runNext(ctx, q, share)
			if err != nil {
				return err
			}
			if more {
				left = append(left, q)
			}
		}
		clear(p.queues[len(left):])
		p.queues = left
	}
}

// findRequested adds queues for what was asked for and is not known. It reads one page of that, the next one each time;
// without a queue, until it has found one or has read all pages.
func (p *replay) findRequested(ctx context.Context) error {
	if time.Since(p.knownSince) > roundTime { // a queue that had failed may be asked for again
		p.knownSince = time.Now()
		clear(p.known)
		for _, q := range p.queues {
			p.known[q.name] = true
		}
	}
	for fromStart := false; len(p.queues) < maxRequested; {
		fromStart = fromStart || p.requestedTo == 0
		asked, err := p.ib.store.Requests(ctx, p.db, p.ib.consumer, p.requestedTo, maxRequested)
		if err != nil {
			return err
		}
		for _, a := range asked {
			p.requestedTo = a.Seq
			p.add(a)
		}
		end := len(asked) < maxRequested
		if end {
			p.requestedTo = 0
		}
		if len(p.queues) > 0 || end && fromStart {
			return nil
		}
	}
	return nil
}

func (p *replay) add(a store.Request) {
	name := strconv.FormatInt(a.Seq, 10)
	if a.Key != nil {
		name = a.Topic + "\x00" + *a.Key
	}
	if !p.known[name] {
		p.known[name] = true
		p.queues = append(p.queues, &keyQueue{Request: a, name: name, batchSize: firstTogether})
	}
}

// runNext runs a queue's next messages; more is false if it has none, or the first has failed.
func (p *replay) runNext(ctx context.Context, q *keyQueue, share time.Duration) (more bool, err error) {
	c, err := p.claim(ctx, q)
	switch {
	case err != nil:
		return false, err
	case len(c.dropped) > 0:
		return q.Key != nil, nil
	case c.rows > 1:
		return p.runTogether(ctx, q, c, share)
	case c.rows == 0:
		return false, nil
	}
	ok, err := p.runOne(ctx, q.Request, c.first)
	if err != nil || !ok || q.Key == nil {
		return false, err
	}
	q.last = c.first
	if q.oneByOne--; q.oneByOne < 0 {
		q.oneByOne = 0
		q.grow()
	}
	return true, nil
}

// grow lets more messages share the next transaction, after one that went well.
func (q *keyQueue) grow() { q.batchSize = min(2*q.batchSize, maxTogether) }

// begin begins a transaction that locks a key. PostgreSQL's is to see what was committed before each of its
// statements, whatever the database's default: by an older snapshot the message that was parked while
// this one waited for the lock is not there, and its key goes on without it (hazard park-behind-nothing).
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
		if err == nil || !errors.Is(err, errParkedChanged) && !db.IsSerialization(err) {
			return err
		}
		if err := p.ib.sleep(ctx, conflictBackoff.after(n)); err != nil {
			return err
		}
	}
}
