package dialect

import (
	"context"
	"database/sql"
	"time"
)

// InboxStart is what is known of a message when an attempt at it begins.
type InboxStart struct {
	Attempts  int    // this one included
	LastError string // of the attempts before; "" if they did not live to tell
	Done      bool   // the consumer is done with the message; no attempt was counted
	Blocked   bool   // the message's key stands still
}

// An attempt is counted by a statement that commits by itself, before the handler's
// transaction: a handler that kills the process is caught by the count alone. The
// count needs to outlive the process and not the server, so PostgreSQL need not wait
// for its disk: that is most of what the statement would cost.
const (
	startAttemptPostgres = `WITH quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)),
started AS (
  INSERT INTO {inbox_attempts} AS a (consumer, message_id, attempts)
  SELECT $1, $2, 1 FROM quick WHERE NOT EXISTS (SELECT FROM {inbox_events} WHERE consumer = $1 AND message_id = $2)
  ON CONFLICT (consumer, message_id) DO UPDATE SET attempts = a.attempts + $3, started_at = clock_timestamp()
  RETURNING a.attempts, a.last_error
)
SELECT (SELECT attempts FROM started), (SELECT last_error FROM started),
  EXISTS (SELECT FROM {inbox_blocked} WHERE consumer = $1 AND topic = $4 AND event_key = $5)`

	// Elsewhere by two statements: MySQL would lock what an INSERT … SELECT reads.
	lookAttempt = `SELECT (SELECT attempts FROM {inbox_attempts} WHERE consumer = ? AND message_id = ?),
  (SELECT last_error FROM {inbox_attempts} WHERE consumer = ? AND message_id = ?),
  EXISTS (SELECT 1 FROM {inbox_events} WHERE consumer = ? AND message_id = ?),
  EXISTS (SELECT 1 FROM {inbox_blocked} WHERE consumer = ? AND topic = ? AND event_key = ?)`

	countAttemptMySQL = `INSERT INTO {inbox_attempts} (consumer, message_id, attempts) VALUES (?, ?, 1)
ON DUPLICATE KEY UPDATE attempts = attempts + ?, started_at = utc_timestamp(6)`

	countAttemptSQLite = `INSERT INTO {inbox_attempts} (consumer, message_id, attempts) VALUES (?, ?, 1)
ON CONFLICT (consumer, message_id) DO UPDATE SET attempts = attempts + ?, started_at = strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'`
)

// StartAttempt counts add attempts, 0 or 1, at a message and commits, unless the consumer
// is done with it. A message without attempts has one afterwards, also if add is 0.
func (i *Inbox) StartAttempt(ctx context.Context, db Queryer, row InboxRow, topic, key string, add int) (InboxStart, error) {
	c, m, t, k := i.bytes(row.Consumer), i.bytes(row.MessageID), i.bytes(topic), i.bytes(key)
	var s InboxStart
	var attempts sql.NullInt64
	var last sql.NullString
	if i.names.Dialect == PostgreSQL {
		args := []any{c, m, add, t, k}
		if i.daily {
			args = append(args, messageDay(row.MessageID))
		}
		err := i.one(ctx, db, []any{&attempts, &last, &s.Blocked}, i.startAttempt, args...)
		s.Attempts, s.LastError, s.Done = int(attempts.Int64), last.String, !attempts.Valid
		return s, err
	}
	if err := i.one(ctx, db, []any{&attempts, &last, &s.Done, &s.Blocked}, lookAttempt, c, m, c, m, c, m, c, t, k); err != nil || s.Done {
		return s, err
	}
	count := countAttemptMySQL
	if i.names.Dialect == SQLite {
		count = countAttemptSQLite
	}
	s.Attempts, s.LastError = 1, last.String
	if attempts.Valid {
		s.Attempts = int(attempts.Int64) + add
	}
	return s, i.exec(ctx, db, count, c, m, add)
}

// ReturnAttempt takes back one attempt that was not the message's fault.
func (i *Inbox) ReturnAttempt(ctx context.Context, db Execer, row InboxRow) error {
	query := "UPDATE {inbox_attempts} SET attempts = attempts - 1 WHERE consumer = ? AND message_id = ? AND attempts > 0"
	return i.exec(ctx, db, query, i.bytes(row.Consumer), i.bytes(row.MessageID))
}

// NoteAttempt keeps the error of the last attempt.
func (i *Inbox) NoteAttempt(ctx context.Context, db Execer, row InboxRow, reason string) error {
	return i.exec(ctx, db, "UPDATE {inbox_attempts} SET last_error = ? WHERE consumer = ? AND message_id = ?",
		reason, i.bytes(row.Consumer), i.bytes(row.MessageID))
}

// DeleteAttempts forgets the attempts at a message.
func (i *Inbox) DeleteAttempts(ctx context.Context, db Execer, row InboxRow) error {
	return i.exec(ctx, db, "DELETE FROM {inbox_attempts} WHERE consumer = ? AND message_id = ?", i.bytes(row.Consumer), i.bytes(row.MessageID))
}

// The table has no index on started_at: it has rows of what is under way, and of what was left behind.
const (
	leftAttemptsPostgres = `DELETE FROM {inbox_attempts} WHERE started_at < now() - ? * interval '1 microsecond' AND (consumer, message_id) IN
(SELECT consumer, message_id FROM {inbox_attempts} WHERE consumer = ? AND started_at < now() - ? * interval '1 microsecond' LIMIT ?)`

	leftAttemptsMySQL = `DELETE FROM {inbox_attempts} WHERE consumer = ? AND started_at < utc_timestamp(6) - INTERVAL ? MICROSECOND LIMIT ?`

	leftAttemptsSQLite = `DELETE FROM {inbox_attempts} WHERE (consumer, message_id) IN
(SELECT consumer, message_id FROM {inbox_attempts} WHERE consumer = ? AND started_at < strftime('%Y-%m-%dT%H:%M:%f', 'now', ?) || '000Z' LIMIT ?)`
)

// DeleteLeftAttempts forgets attempts, limit of them at the most, whose last one was begun longer than age ago. It returns
// how many.
func (i *Inbox) DeleteLeftAttempts(ctx context.Context, db Execer, consumer string, age time.Duration, limit int) (int64, error) {
	query, args := leftAttemptsMySQL, []any{i.bytes(consumer), i.age(age), limit}
	switch i.names.Dialect {
	case PostgreSQL: // another attempt may begin while the statement waits for the row
		query, args = leftAttemptsPostgres, append([]any{i.age(age)}, args...)
	case SQLite:
		query = leftAttemptsSQLite
	}
	return i.affected(ctx, db, query, args...)
}

// A batch has one row for its lane, a partition, whose attempts are the number of messages.
const (
	startBatchPostgres = `WITH quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)),
before AS (SELECT attempts FROM {inbox_attempts} WHERE consumer = $1 AND message_id = $2),
started AS (
  INSERT INTO {inbox_attempts} AS a (consumer, message_id, attempts) SELECT $1, $2, $3 FROM quick
  ON CONFLICT (consumer, message_id) DO UPDATE SET attempts = EXCLUDED.attempts, started_at = clock_timestamp()
)
SELECT COALESCE((SELECT attempts FROM before), 0), EXISTS (SELECT FROM {inbox_blocked} WHERE consumer = $1)`

	lookBatch = `SELECT COALESCE((SELECT attempts FROM {inbox_attempts} WHERE consumer = ? AND message_id = ?), 0),
  EXISTS (SELECT 1 FROM {inbox_blocked} WHERE consumer = ?)`

	noteBatchMySQL = `INSERT INTO {inbox_attempts} (consumer, message_id, attempts) VALUES (?, ?, ?)
ON DUPLICATE KEY UPDATE attempts = VALUES(attempts), started_at = utc_timestamp(6)`

	noteBatchSQLite = `INSERT INTO {inbox_attempts} (consumer, message_id, attempts) VALUES (?, ?, ?)
ON CONFLICT (consumer, message_id) DO UPDATE SET attempts = excluded.attempts, started_at = strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'`
)

// StartBatch notes that size messages of a lane are being handled, and commits. It
// returns the number of those that were not finished before, and whether any key of
// the consumer stands still.
func (i *Inbox) StartBatch(ctx context.Context, db Queryer, consumer, lane string, size int) (unfinished int, blocked bool, err error) {
	c, l := i.bytes(consumer), i.bytes(lane)
	if i.names.Dialect == PostgreSQL {
		err = i.one(ctx, db, []any{&unfinished, &blocked}, startBatchPostgres, c, l, size)
		return unfinished, blocked, err
	}
	if err = i.one(ctx, db, []any{&unfinished, &blocked}, lookBatch, c, l, c); err != nil {
		return 0, false, err
	}
	note := noteBatchMySQL
	if i.names.Dialect == SQLite {
		note = noteBatchSQLite
	}
	return unfinished, blocked, i.exec(ctx, db, note, c, l, size)
}

// one reads the single row of a query with {table} names into dest.
func (i *Inbox) one(ctx context.Context, db Queryer, dest []any, query string, args ...any) error {
	rows, err := db.QueryContext(ctx, i.names.Expand(query), args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return err
		}
		return sql.ErrNoRows
	}
	if err := rows.Scan(dest...); err != nil {
		return err
	}
	return rows.Close()
}

// exec runs a statement with {table} names and question marks.
func (i *Inbox) exec(ctx context.Context, db Execer, query string, args ...any) error {
	_, err := db.ExecContext(ctx, i.text(query), args...)
	return err
}

// affected is exec that returns the number of rows.
func (i *Inbox) affected(ctx context.Context, db Execer, query string, args ...any) (int64, error) {
	result, err := db.ExecContext(ctx, i.text(query), args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// text puts in the names of the tables, and PostgreSQL's numbers for question marks.
func (i *Inbox) text(query string) string {
	return i.names.Numbered(i.names.Expand(query))
}
