package inbox

import (
	"context"
	"database/sql"
	"time"

	"github.com/postroom/postroom/internal/db"
)

// StartedAttempt is what is known of a message when an attempt at it begins.
type StartedAttempt struct {
	Attempts int // this one included
	// of the attempts before; "": none of them returned an error, or its process was killed before it was kept
	LastError string
	Done      bool // the consumer is done with the message; no attempt was counted
	Blocked   bool // the message's key is blocked
}

// StartAttempt counts add attempts, 0 or 1, at a message and commits, unless the consumer
// is done with it. A message without attempts has one afterwards, also if add is 0.
func (s *Store) StartAttempt(ctx context.Context, q db.Queryer, row Row, topic, key string, add int) (
	a StartedAttempt, err error,
) {
	var attempts sql.NullInt64
	var last sql.NullString
	message, ofKey := s.keys(row.Consumer, row.MessageID), s.keys(topic, key)
	if s.names.Dialect == db.PostgreSQL {
		args := append(append(message, add), ofKey...)
		if s.hasDaily {
			args = append(args, messageDay(row.MessageID))
		}
		err = one(ctx, q, []any{&attempts, &last, &a.Blocked}, s.postgres.StartAttempt, args...)
		a.Attempts, a.LastError, a.Done = int(attempts.Int64), last.String, !attempts.Valid
		return a, err
	}
	err = one(ctx, q, []any{&attempts, &last, &a.Done, &a.Blocked}, s.count.ReadAttempts,
		s.keys(row.Consumer, row.MessageID, row.Consumer, row.MessageID, row.Consumer, row.MessageID,
			row.Consumer, topic, key)...)
	if err != nil || a.Done {
		return a, err
	}
	a.Attempts, a.LastError = 1, last.String
	if attempts.Valid {
		a.Attempts = int(attempts.Int64) + add
	}
	return a, exec(ctx, q, s.count.CountAttempt, append(message, add)...)
}

// ReturnAttempt takes back one attempt that was not the message's fault.
func (s *Store) ReturnAttempt(ctx context.Context, q db.Execer, row Row) error {
	return exec(ctx, q, s.sql.ReturnAttempt, s.keys(row.Consumer, row.MessageID)...)
}

// NoteAttempt keeps the error of the last attempt.
func (s *Store) NoteAttempt(ctx context.Context, q db.Execer, row Row, reason string) error {
	return exec(ctx, q, s.sql.NoteAttempt, append([]any{reason}, s.keys(row.Consumer, row.MessageID)...)...)
}

// DeleteAttempts forgets the attempts at a message.
func (s *Store) DeleteAttempts(ctx context.Context, q db.Execer, row Row) error {
	return exec(ctx, q, s.sql.DeleteAttempts, s.keys(row.Consumer, row.MessageID)...)
}

// DeleteOldAttempts forgets attempts, limit of them at the most, whose last one was begun longer than age ago. It
// returns how many.
func (s *Store) DeleteOldAttempts(ctx context.Context, q db.Execer, consumer string, age time.Duration, limit int) (
	int64, error,
) {
	args := []any{s.names.KeyArg(consumer), s.ageArg(age), limit}
	twice := append([]any{s.ageArg(age)}, args...) // PostgreSQL's statement asks for the age twice
	return affected(ctx, q, s.sql.DeleteOldAttempts, db.For(s.names.Dialect, twice, args, args)...)
}

// StartBatch notes that size messages of a lane are being handled, and commits. It
// returns the number of those that were not finished before, and whether any key of
// the consumer is blocked.
func (s *Store) StartBatch(ctx context.Context, q db.Queryer, consumer, lane string, size int) (
	unfinished int, blocked bool, err error,
) {
	dest, args := []any{&unfinished, &blocked}, append(s.keys(consumer, lane), size)
	if s.names.Dialect == db.PostgreSQL {
		err = one(ctx, q, dest, s.postgres.StartBatch, args...)
		return unfinished, blocked, err
	}
	if err = one(ctx, q, dest, s.count.ReadBatch, s.keys(consumer, lane, consumer)...); err != nil {
		return 0, false, err
	}
	return unfinished, blocked, exec(ctx, q, s.count.CountBatch, args...)
}
