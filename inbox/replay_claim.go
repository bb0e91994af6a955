package inbox

import (
	"context"
	"database/sql"
	"errors"

	"github.com/postroom/postroom/internal/db"
	store "github.com/postroom/postroom/internal/store/inbox"
)

// claimed is what a turn has begun: an attempt at one row or at several, or the deletion of rows that are to be
// dropped.
type claimed struct {
	first, last int64
	rows        int
	dropped     []store.ParkedSummary
}

// errParkedChanged means: an operator has requested something else between two statements.
var errParkedChanged = errors.New("the parked rows have changed")

// claim begins an attempt at the next rows of a queue, and commits that. If the first rows are to be dropped, it
// deletes them instead.
func (p *replay) claim(ctx context.Context, q *keyQueue) (c claimed, err error) {
	err = p.inTx(ctx, func(tx *sql.Tx) error {
		c = claimed{}
		waiting, err := p.waiting(ctx, tx, q)
		if err != nil || len(waiting) == 0 {
			return err
		}
		if waiting[0].State == db.ParkedDrop {
			return p.drop(ctx, tx, q, waiting, &c)
		}
		next := claimed{first: waiting[0].Seq, last: waiting[0].Seq, rows: 1}
		if q.blocked && q.oneByOne == 0 {
			next.last, next.rows = fitTogether(waiting)
		}
		if next.rows == 1 {
			ok, err := p.ib.store.ClaimParked(ctx, tx, p.ib.consumer, next.first, waiting[0].State)
			if ok {
				c = next
			}
			return err
		}
		n, err := p.ib.store.ClaimSpan(ctx, tx, p.span(q, next.first, next.last))
		if err == nil && n != int64(next.rows) {
			err = errParkedChanged
		}
		if err == nil {
			c = next
		}
		return err
	})
	if err != nil { // COMMIT may have taken effect all the same
		p.returnClaim(ctx, q, c)
		return claimed{}, err
	}
	if len(c.dropped) > 0 {
		q.last = c.last
	}
	for _, w := range c.dropped {
		p.done++
		// The row is deleted. The log keeps why it was dropped, and why it was parked.
		p.ib.log.Warn("inbox: dropped a parked message, as requested",
			"message_id", w.MessageID, "topic", q.Topic, "seq", w.Seq, "error", w.Error)
	}
	return c, nil
}

// waiting locks the key of a queue, and returns its first rows if they may run. If the key is blocked, these are
// the first rows of the key; if not, they are the first rows that were requested.
func (p *replay) waiting(ctx context.Context, tx *sql.Tx, q *keyQueue) ([]store.ParkedSummary, error) {
	if q.Key == nil {
		row, ok, err := p.ib.store.ReadParked(ctx, tx, p.ib.consumer, q.Seq)
		if err != nil || !ok || row.State != db.ParkedRetry && row.State != db.ParkedDrop {
			return nil, err
		}
		return []store.ParkedSummary{{
			Seq: q.Seq, State: row.State, Attempts: row.Attempts, MessageID: row.MessageID, Error: row.Error,
		}}, nil
	}
	blocked, err := p.lock(ctx, tx, q.Request)
	if err != nil {
		return nil, err
	}
	if blocked != q.blocked {
		q.blocked, q.last = blocked, 0
	}
	most := q.batchSize
	if q.oneByOne > 0 {
		most = 1
	}
	waiting, err := p.ib.store.ParkedOfKey(ctx, tx, p.ib.consumer, q.Topic, *q.Key, q.last, !blocked, most)
	if err != nil || len(waiting) == 0 || waiting[0].State != db.ParkedFailed {
		return waiting, err
	}
	// It has failed again, or has killed the process, or another process runs it. The other requested rows of the
	// key wait behind it.
	return nil, p.ib.store.BlockFollowers(ctx, tx, p.ib.consumer, q.Topic, *q.Key, waiting[0].Seq)
}

// lock locks a key. Whoever parks or replays messages of a key holds this lock until the end of the transaction.
func (p *replay) lock(ctx context.Context, tx *sql.Tx, a store.Request) (blocked bool, err error) {
	over := p.ib.watch(ctx, p.db, &p.lockWait, "topic", a.Topic, "parked_seq", a.Seq)
	defer func() { over(err) }()
	return p.ib.store.LockBlocked(ctx, tx, p.ib.consumer, a.Topic, *a.Key)
}

// fitTogether returns which of the rows run in one transaction: those that have no attempt yet, up to a size. A row
// that has an attempt is likely to fail again, or was in a transaction with one that killed the process.
func fitTogether(waiting []store.ParkedSummary) (last int64, rows int) {
	last, rows = waiting[0].Seq, 1
	if waiting[0].Attempts > 0 {
		return last, rows
	}
	size := waiting[0].Size
	for _, w := range waiting[1:] {
		size += w.Size
		if w.Attempts > 0 || w.State != db.ParkedBlocked && w.State != db.ParkedRetry || size > maxTogetherBytes {
			break
		}
		last, rows = w.Seq, rows+1
	}
	return last, rows
}

// drop deletes the rows at the beginning of the queue that are to be dropped.
func (p *replay) drop(ctx context.Context, tx *sql.Tx, q *keyQueue, waiting []store.ParkedSummary, c *claimed) error {
	for _, w := range waiting {
		if w.State != db.ParkedDrop {
			break
		}
		gone, err := p.ib.store.DeleteParked(ctx, tx, p.ib.consumer, w.Seq)
		if err != nil {
			return err
		}
		if gone {
			c.dropped = append(c.dropped, w)
		}
		c.last = w.Seq
	}
	return p.unblock(ctx, tx, q.Request, q.blocked, c.last)
}

// unblock makes the next row of the key one to be retried, or unblocks the key.
func (p *replay) unblock(ctx context.Context, tx *sql.Tx, a store.Request, blocked bool, last int64) error {
	if a.Key == nil || !blocked {
		return nil
	}
	return p.ib.store.Unblock(ctx, tx, p.ib.consumer, a.Topic, *a.Key, last)
}

func (p *replay) span(q *keyQueue, first, last int64) store.Span {
	return store.Span{Consumer: p.ib.consumer, Topic: q.Topic, Key: *q.Key, From: first, To: last}
}

// returnClaim takes an attempt back.
func (p *replay) returnClaim(ctx context.Context, q *keyQueue, c claimed) {
	switch {
	case c.rows == 1:
		p.returnRow(ctx, c.first)
	case c.rows > 1:
		p.untilReturned(ctx, c.first, func(ctx context.Context) error {
			return p.ib.store.UnclaimSpan(ctx, p.db, p.span(q, c.first, c.last))
		})
	}
}
