package parked

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/postroom/postroom/internal/db"
)

// Request asks the owner of the rows to send or run them again, or to drop them: the rows in IDs, or, if there are
// none, those that Filter chooses. A retry by filter concerns only the failed rows, because the rows behind them are
// then sent automatically. A drop by filter concerns all rows.
type Request struct {
	State  string // db.ParkedRetry or db.ParkedDrop
	IDs    []ID
	Filter Filter // with IDs: only its Consumer counts
	// Force sends rows again though later events of their keys were delivered.
	Force bool
	// Reason is why rows are dropped. It is written before the row's error.
	Reason string
}

// Answer is the result of a request.
type Answer struct {
	Found     bool  // rows that it speaks of are there
	Marked    int64 // rows whose state was set
	Followers int64 // rows that wait behind them, up to db.CountLimit
}

// Request sets the state of all parked rows that it concerns. With a *MissingError, *AmbiguousError, *BehindError or
// *OvertakenError, or several of them joined, it changed nothing. After a failure of the database some rows may be
// marked: a part of more than some thousand rows of outbox_parked, or all of them if only the followers could not be
// counted. Then repeat the request.
func (s *Store) Request(ctx context.Context, r Request) (answer Answer, err error) {
	if len(r.IDs) > 0 {
		return s.byID(ctx, r)
	}
	w := s.where(r.Filter)
	if err := s.pool.QueryRowContext(ctx, w.in(s.sql.Exists, nil), w.args...).Scan(&answer.Found); err != nil ||
		!answer.Found {
		return answer, err
	}
	if answer.Marked, err = s.markFilter(ctx, r); err != nil {
		return answer, err
	}
	r.Filter.State = db.ParkedBlocked
	answer.Followers, err = s.count(ctx, s.where(r.Filter))
	return answer, afterMarking(answer, err)
}

// byFilter are the rows that a request by filter marks.
func (s *Store) byFilter(r Request) *where {
	marked := s.sql.RetriedByFilter
	if r.State == db.ParkedDrop {
		marked = s.sql.DroppedByFilter
	}
	return s.where(r.Filter).and(marked)
}

func (s *Store) byID(ctx context.Context, r Request) (answer Answer, err error) {
	r.Filter = Filter{Consumer: r.Filter.Consumer}
	if r.IDs, err = s.seqsOf(ctx, r); err != nil {
		return answer, err
	}
	var rows []Entry
	err = again(ctx, func() (err error) {
		rows, answer.Marked, err = s.markNamed(ctx, r)
		return err
	})
	if err != nil {
		return answer, err
	}
	answer.Found = true
	answer.Followers, err = s.followers(ctx, rows)
	return answer, afterMarking(answer, err)
}

// afterMarking adds to an error of the count that the rows are marked.
func afterMarking(answer Answer, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("rows marked: %d; those behind them could not be counted: %w", answer.Marked, err)
}

// seqsOf finds the numbers of the rows that have the ids of events or messages. There may be no index on those ids,
// and the statement that locks rows must not scan the table. On MySQL it would wait for each row that the owner has
// locked, and hold locks on the other rows during that time.
func (s *Store) seqsOf(ctx context.Context, r Request) ([]ID, error) {
	if !slices.ContainsFunc(r.IDs, func(id ID) bool { return id.Seq == 0 }) {
		return r.IDs, nil
	}
	rows, err := s.entries(ctx, s.pool, s.sql.List, s.where(r.Filter).named(r.IDs), 0, db.CountLimit)
	if err == nil {
		err = resolved(r.IDs, rows)
	}
	ids := make([]ID, len(rows))
	for i, e := range rows {
		ids[i].Seq = e.Seq
	}
	return ids, err
}

// markNamed marks the rows that a request names in one transaction, or none.
func (s *Store) markNamed(ctx context.Context, r Request) (rows []Entry, marked int64, err error) {
	tx, err := s.pool.BeginTx(ctx, nil)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	rows, err = s.entries(ctx, tx, s.sql.Lock, s.where(r.Filter).named(r.IDs), 0)
	if err == nil {
		err = resolved(r.IDs, rows)
	}
	if err == nil {
		err = s.allowed(ctx, tx, r, rows)
	}
	if err != nil {
		return nil, 0, err
	}
	if seqs := s.changed(r, rows); len(seqs) > 0 {
		if marked, err = s.mark(ctx, tx, r, seqs); err != nil {
			return nil, 0, err
		}
	}
	if err := tx.Commit(); err != nil {
		return nil, 0, fmt.Errorf("commit: %w", err)
	}
	return rows, marked, nil
}

// allowed returns an error for the rows that the request may not name.
func (s *Store) allowed(ctx context.Context, tx *sql.Tx, r Request, rows []Entry) error {
	var rejections []error
	for _, e := range rows {
		if s.needsForce && r.State == db.ParkedRetry && e.Overtaken && e.State != db.ParkedRetry && !r.Force {
			rejections = append(rejections, &OvertakenError{Seq: e.Seq, Rows: 1})
			continue
		}
		if e.Key == nil || e.Overtaken {
			continue // in no order, or no longer
		}
		first, state, err := s.ahead(ctx, tx, r, e, rows)
		if err != nil {
			return err
		}
		if first != 0 {
			rejections = append(rejections, &BehindError{Seq: e.Seq, First: first, FirstState: state, Request: r.State})
		}
	}
	return errors.Join(rejections...)
}

// ahead returns the first row of the key that must be sent before e and that the request does not name; 0: there is
// none.
func (s *Store) ahead(
	ctx context.Context, tx *sql.Tx, r Request, e Entry, rows []Entry,
) (first int64, state string, err error) {
	w := s.where(e.ofKey()).and(s.sql.Before, e.Seq)
	if r.State == db.ParkedRetry {
		w.and(s.sql.AheadOfRetry)
	} else {
		w.and(s.sql.AheadOfDrop)
	}
	var named []int64
	for _, other := range rows {
		if other.Seq < e.Seq && e.sameKey(other) {
			named = append(named, other.Seq)
		}
	}
	return s.first(ctx, tx, w.but(named))
}

// changed returns the rows whose state a request by ids sets. A retry does not change blocked rows that follow another
// row.
func (s *Store) changed(r Request, rows []Entry) (seqs []int64) {
	for i, e := range rows {
		change := e.State != r.State
		if r.State == db.ParkedRetry && e.State == db.ParkedBlocked {
			change = s.retriesBlocked && !slices.ContainsFunc(rows[:i], e.sameKey)
		}
		if change {
			seqs = append(seqs, e.Seq)
		}
	}
	return seqs
}

// mark sets the state of rows, and returns how many changed.
func (s *Store) mark(ctx context.Context, q db.Execer, r Request, seqs []int64) (int64, error) {
	list := "[" + db.Ints(seqs) + "]"
	args := []any{list}
	if r.State == db.ParkedDrop {
		args = []any{list, r.note()}
		args = db.For(s.names.Dialect, args, args, []any{r.note(), list}) // in the order of the text
	}
	return db.Affected(q.ExecContext(ctx, s.markList(r), args...))
}

// followers counts the blocked rows of the rows' keys.
func (s *Store) followers(ctx context.Context, rows []Entry) (total int64, err error) {
	for i, e := range rows {
		if e.Key == nil || slices.ContainsFunc(rows[:i], e.sameKey) {
			continue
		}
		f := e.ofKey()
		f.State = db.ParkedBlocked
		count, err := s.count(ctx, s.where(f))
		if err != nil {
			return total, err
		}
		total += count
	}
	return total, nil
}

// note is the text that a drop writes before the row's error.
func (r Request) note() string {
	return "dropped: " + db.KeepError(r.Reason) + "; parked because: "
}

// again repeats a transaction that the database ended because of another one.
func again(ctx context.Context, transaction func() error) (err error) {
	const tries = 4
	for range tries {
		if err = transaction(); err == nil || !db.IsSerialization(err) || ctx.Err() != nil {
			return err
		}
	}
	return err
}
