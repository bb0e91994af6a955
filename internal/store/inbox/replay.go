package inbox

import (
	"context"
	"database/sql"
	"errors"

	"github.com/postroom/postroom/internal/db"
)

// Request is a parked row that an operator wants retried or dropped.
type Request struct {
	Seq   int64
	Topic string
	Key   *string // nil: none
}

// Requests returns the consumer's rows to be retried or dropped after seq, in order.
func (s *Store) Requests(ctx context.Context, q db.Queryer, consumer string, after int64, limit int) (
	[]Request, error,
) {
	var requests []Request
	err := db.Each(ctx, q, func(rows *sql.Rows) error {
		var r Request
		var key sql.NullString
		err := rows.Scan(&r.Seq, &r.Topic, &key)
		if key.Valid {
			r.Key = &key.String
		}
		requests = append(requests, r)
		return err
	}, s.sql.Requests, s.requestArgs(consumer, after, limit)...)
	return requests, err
}

func (s *Store) requestArgs(consumer string, after int64, limit int) []any {
	args := []any{s.names.KeyArg(consumer), after, limit}
	// MySQL's statement is two, one for each state.
	return db.For(s.names.Dialect, args, append(append(args, args...), limit), args)
}

// ParkedSummary is a parked row of a key, without what is large in it.
type ParkedSummary struct {
	Seq      int64
	State    string
	Attempts int
	Size     int64 // bytes of payload and headers

	MessageID string
	Error     string // of one that is to be dropped: the reason, and why it was parked
}

// ParkedOfKey returns the first rows of a key after seq, most of them at the most, or those alone that operators want
// retried or dropped. The key must be locked (LockBlocked), and nothing read in tx before that: by an older snapshot
// what was parked while tx waited for the lock is not there.
//
// After is what makes the query cheap: rows that were just deleted stay in the index until the database has
// cleaned up behind the oldest snapshot, and a query from the key's beginning would walk over each of them again.
func (s *Store) ParkedOfKey(
	ctx context.Context, tx db.Queryer, consumer, topic, key string, after int64, requestedOnly bool, most int,
) ([]ParkedSummary, error) {
	query := s.sql.ParkedOfKey
	if requestedOnly {
		query = s.sql.RequestedOfKey
	}
	return db.Rows(ctx, tx, func(p *ParkedSummary) []any {
		return []any{&p.Seq, &p.State, &p.Attempts, &p.Size, &p.MessageID, &p.Error}
	}, query, append(s.keys(consumer, topic, key), after, most)...)
}

// ClaimParked begins an attempt at a row that is in the given state: it is 'failed' from now on,
// until the attempt succeeds, so that one that kills the process is not begun again by itself.
// It locks the row, and reports whether it was there, in that state.
func (s *Store) ClaimParked(ctx context.Context, tx db.Execer, consumer string, seq int64, state string) (bool, error) {
	n, err := affected(ctx, tx, s.sql.ClaimParked, s.names.KeyArg(consumer), seq, state)
	return n > 0, err
}

// BlockFollowers has the rows of a key that were to be retried wait behind its head. Its rows must be locked.
func (s *Store) BlockFollowers(ctx context.Context, tx db.Execer, consumer, topic, key string, head int64) error {
	return exec(ctx, tx, s.sql.BlockFollowers, append(s.keys(consumer, topic, key), head)...)
}

// UnclaimParked takes an attempt back that was not the message's fault.
func (s *Store) UnclaimParked(ctx context.Context, q db.Execer, consumer string, seq int64) error {
	return exec(ctx, q, s.sql.UnclaimParked, s.names.KeyArg(consumer), seq)
}

// FailParked keeps the error of an attempt.
func (s *Store) FailParked(ctx context.Context, q db.Execer, consumer string, seq int64, reason string) error {
	return exec(ctx, q, s.sql.FailParked, reason, s.names.KeyArg(consumer), seq)
}

// DeleteParked reports whether the row was there.
func (s *Store) DeleteParked(ctx context.Context, tx db.Execer, consumer string, seq int64) (bool, error) {
	n, err := affected(ctx, tx, s.sql.DeleteParked, s.names.KeyArg(consumer), seq)
	return n > 0, err
}

// ReadParked returns a row whole, and locks it; false: there is none.
func (s *Store) ReadParked(ctx context.Context, tx db.Queryer, consumer string, seq int64) (
	p ParkedRow, ok bool, err error,
) {
	p = ParkedRow{Seq: seq, Row: Row{Consumer: consumer}}
	err = p.scan(func(dest ...any) error {
		return one(ctx, tx, dest, s.sql.ReadParked, s.names.KeyArg(consumer), seq)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return p, false, nil
	}
	return p, err == nil, err
}

// HasParked reports whether a row is there, by the transaction's own deletes too.
func (s *Store) HasParked(ctx context.Context, tx db.Queryer, consumer string, seq int64) (bool, error) {
	return exists(ctx, tx, s.sql.HasParked, s.names.KeyArg(consumer), seq)
}

// Span is the rows of a key from one seq to another, both included.
type Span struct {
	Consumer, Topic, Key string
	From, To             int64
}

func (s *Store) spanArgs(span Span) []any {
	return append(s.keys(span.Consumer, span.Topic, span.Key), span.From, span.To)
}

// ClaimSpan begins an attempt at rows that have had none: its first is 'failed' from now on, and all
// have an attempt, until it succeeds. So one that kills the process is not begun again by itself, and the rows of
// it run alone from then on. The key must be locked. It returns how many rows it claimed.
func (s *Store) ClaimSpan(ctx context.Context, tx db.Execer, span Span) (int64, error) {
	return affected(ctx, tx, s.sql.ClaimSpan, append([]any{span.From}, s.spanArgs(span)...)...)
}

// UnclaimSpan takes back what ClaimSpan did to the rows of the span that are left.
func (s *Store) UnclaimSpan(ctx context.Context, q db.Execer, span Span) error {
	return exec(ctx, q, s.sql.UnclaimSpan, s.spanArgs(span)...)
}

// ReadSpan returns the rows of a span whole, in order. The key must be locked.
func (s *Store) ReadSpan(ctx context.Context, tx db.Queryer, span Span) (found []ParkedRow, err error) {
	err = db.Each(ctx, tx, func(rows *sql.Rows) error {
		p := ParkedRow{Row: Row{Consumer: span.Consumer}}
		err := p.scan(func(dest ...any) error { return rows.Scan(append([]any{&p.Seq}, dest...)...) })
		found = append(found, p)
		return err
	}, s.sql.ReadSpan, s.spanArgs(span)...)
	return found, err
}

// DeleteSpan deletes the rows of a span, in a transaction that has deleted the row gone before: none, if that one
// is there again because the transaction was ended. It returns how many. (A LIMIT keeps MySQL from taking the derived
// table apart, which it would reject.)
func (s *Store) DeleteSpan(ctx context.Context, tx db.Execer, span Span, gone int64) (int64, error) {
	return affected(ctx, tx, s.sql.DeleteSpan, append(s.spanArgs(span), s.names.KeyArg(span.Consumer), gone)...)
}

// scan fills in all but Seq and Consumer.
func (p *ParkedRow) scan(scan func(dest ...any) error) error {
	var key sql.NullString
	var at nullPosition
	var has bool
	if err := scan(&p.MessageID, &p.Topic, &key, &p.Type, &p.Headers, &p.Payload, &has,
		&at.topic, &at.partition, &at.offset, &p.Attempts, &p.Error, &p.State); err != nil {
		return err
	}
	if has && p.Payload == nil {
		p.Payload = []byte{} // some drivers make no difference
	}
	if key.Valid {
		p.Key = &key.String
	}
	p.Position = at.value()
	return nil
}
