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

// The limits of a run of Replay. They keep a key with many messages from delaying the other keys.
const (
	// maxRequested is how many rows one search for requests reads, and about how many keys take turns.
	maxRequested = 1_000
	// firstTogether is how many messages of a key share a transaction at first. The number grows up to maxTogether
	// with each transaction that succeeds.
	firstTogether = 32
	maxTogether   = 1_024
	// maxTogetherBytes limits the memory that the messages of a transaction take. A single message may be larger.
	maxTogetherBytes = 4 << 20
	// roundTime is about how long one round of all keys takes, if their handlers are quick. Each key gets at least
	// minTurn and at most maxTurn of it.
	roundTime = time.Second
	minTurn   = 10 * time.Millisecond
	maxTurn   = 250 * time.Millisecond
)

// Replay does what operators requested with `relay inbox parked retry` and `drop`. It runs h for the parked
// messages of this consumer that are to be retried, and deletes those that are to be dropped. It returns how many
// messages it applied or dropped. The error is the database's or that of ctx. An error of h is written to the
// parked row and to the log.
//
// The messages of a key run in order. After the first one, those that were blocked behind it follow without a
// request, until one fails. The last one unblocks the key. Keys take turns.
//
// A message that has failed before runs in a transaction of its own: the effect of h and the deletion of the parked
// row commit together, and the next row of the key is then to be retried. Messages that were only blocked run
// several in one transaction, in order. If that transaction fails, its messages run one by one. On PostgreSQL the
// transactions are READ COMMITTED, whatever the default of the database.
//
// A message that fails again, or that kills the process, is 'failed' and waits for another request. If the process
// is killed while several messages run together, the first of them is 'failed', and then all run one by one. A
// message that is interrupted because the database is out of reach, or because ctx ends, is still to be retried.
//
// Call Replay about every second beside the consumer, in any number of processes. It also does what is requested
// while it runs. One call can therefore last as long as messages of a key keep coming.
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
	// BlockFollowers makes rows that were to be retried wait behind the first of their key.
	BlockFollowers(ctx context.Context, tx db.Execer, consumer, topic, key string, head int64) error
	// Unblock makes the next row of a key one to be retried. If there is none, it unblocks the key.
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
	// DeleteSpan deletes nothing if the row gone exists again, because the transaction that deleted it was rolled
	// back.
	DeleteSpan(ctx context.Context, tx db.Execer, span store.Span, gone int64) (int64, error)
}

// replay is one call of Replay.
type replay struct {
	ib      *Inbox
	db      *sql.DB
	handler Handler
	done    int

	queues      []*keyQueue     // those with messages to run, in the order of their turns
	known       map[string]bool // names of the queues, and of those that are done
	requestedTo int64           // requests up to this seq were read
	knownSince  time.Time       // when the names of done queues were last removed
	lockWait    lockWait        // the wait for a key's lock
}

// keyQueue is the parked messages of a key, or one message without a key.
type keyQueue struct {
	store.Request
	name string

	blocked   bool  // the key was blocked at the last turn
	last      int64 // the last seq that is done: the key has no row below it, unless it was unblocked since
	batchSize int   // how many messages share the next transaction
	oneByOne  int   // how many run alone before that, because one of them failed
	conflicts int   // in a row
}

// run gives each queue its turn until none is left. It looks for new requests after each round, so that a request
// for another key does not wait until a long queue is done.
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

// findRequested adds queues for requests that are not known yet. It reads one page of requests, each time the next
// one. As long as there is no queue, it reads on until it has found one or has read all pages.
func (p *replay) findRequested(ctx context.Context) error {
	if time.Since(p.knownSince) > roundTime { // a message that failed may be requested again
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

// runNext runs the next messages of a queue. more is false if it has none, or if the first has failed.
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

// grow lets more messages share the next transaction, after one that succeeded.
func (q *keyQueue) grow() { q.batchSize = min(2*q.batchSize, maxTogether) }

// begin begins a transaction that locks a key. On PostgreSQL each of its statements must see what was committed
// before, whatever the default of the database. With an older snapshot it would not see a message that was parked
// while it waited for the lock, and the key would be unblocked without that message (hazard park-behind-nothing).
func (p *replay) begin(ctx context.Context) (*sql.Tx, error) {
	var opts *sql.TxOptions
	if p.ib.names.Dialect == PostgreSQL {
		opts = &sql.TxOptions{Isolation: sql.LevelReadCommitted}
	}
	return p.db.BeginTx(ctx, opts)
}

// inTx runs fn in a transaction. It repeats it if another transaction was in the way.
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
