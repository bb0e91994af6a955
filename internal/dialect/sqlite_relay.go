package dialect

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"time"
)

type sqliteRelay struct{ relayBase }

func newSQLiteRelay(b relayBase) *sqliteRelay { return &sqliteRelay{b} }

const (
	// Without id, which json_each has too.
	sqliteColumns = `event_id, topic, event_key, event_type, payload, headers, created_at, payload IS NULL`

	// The server is the database file: one that was replaced shows as rows outside
	// every gap, which the sweep finds.
	sqliteServer = `'sqlite'`

	sqliteHeader = `SELECT 0, NULL, 'primary', NULL, ` + sqliteServer + `, NULL, NULL, NULL, 1`

	// CROSS JOIN keeps the order of the loops: each gap is a lookup by rowid.
	sqliteGaps = `SELECT * FROM (SELECT e.id, ` + sqliteColumns + `
FROM json_each(?) AS gap CROSS JOIN {outbox_events} AS e
  ON e.id BETWEEN json_extract(gap.value, '$[0]') AND json_extract(gap.value, '$[1]')
ORDER BY e.id LIMIT ?)`

	sqliteTail = `SELECT * FROM (SELECT id, ` + sqliteColumns + ` FROM {outbox_events} WHERE id > ? ORDER BY id LIMIT ?)`

	sqliteDeleteRun = `DELETE FROM {outbox_events}
WHERE id BETWEEN ? AND ?
  AND EXISTS (SELECT 1 FROM {outbox_events} WHERE id = ? AND event_id = ?)
  AND EXISTS (SELECT 1 FROM {outbox_leases} WHERE id = 1 AND owner = ? AND epoch = ?)`

	sqliteDeleteEvents = sqliteDeleteNamed + `
  AND EXISTS (SELECT 1 FROM {outbox_leases} WHERE id = 1 AND owner = ? AND epoch = ?)`

	sqliteDeleteNamed = `DELETE FROM {outbox_events}
WHERE id IN (SELECT e.id FROM json_each(?) AS delivered CROSS JOIN {outbox_events} AS e
    ON e.id = json_extract(delivered.value, '$[0]') AND e.event_id = json_extract(delivered.value, '$[1]'))`
)

func (s *sqliteRelay) read(ctx context.Context, q ReadQuery, visit func(*Row) bool) (ReadInfo, error) {
	statement, args := sqliteHeader, []any(nil)
	if len(q.Gaps) > 0 {
		statement, args = statement+"\nUNION ALL "+sqliteGaps, append(args, gapsJSON(q.Gaps), q.Limit)
	}
	if !q.GapsOnly {
		statement, args = statement+"\nUNION ALL "+sqliteTail, append(args, q.Head, q.Limit)
	}
	rows, err := s.stream(ctx, s.names.Expand(statement), args...)
	if err != nil {
		return ReadInfo{}, err
	}
	var created any
	var tombstone bool
	stamped := func(row *Row) bool {
		row.CreatedAt = sqliteTime(created)
		if row.Payload == nil && !tombstone {
			row.Payload = []byte{} // SQLite's drivers return an empty blob as nil
		}
		return visit(row)
	}
	return visitRows(rows, q, stamped, func(row *Row, _ *sql.NullTime) []any {
		return []any{&row.ID, &row.EventID, &row.Topic, &row.Key, &row.Type, &row.Payload, (*object)(&row.Headers), &created, &tombstone}
	})
}

// sqliteTime reads what the driver made of the column: text, or a time already. A
// CHECK keeps anything else out; zero would say so.
func sqliteTime(v any) time.Time {
	switch v := v.(type) {
	case time.Time:
		return v.UTC()
	case string:
		t, _ := time.Parse(time.RFC3339Nano, v)
		return t
	case []byte:
		t, _ := time.Parse(time.RFC3339Nano, string(v))
		return t
	}
	return time.Time{}
}

func gapsJSON(gaps []Range) string {
	var b strings.Builder
	for i, g := range gaps {
		b.WriteByte("[,"[min(i, 1)])
		fmt.Fprintf(&b, "[%d,%d]", g.Lo, g.Hi)
	}
	return b.String() + "]"
}

func (s *sqliteRelay) deleteRun(ctx context.Context, l Lease, r Run) (int64, error) {
	return s.exec(ctx, s.names.Expand(sqliteDeleteRun), r.Lo, r.Last.ID, r.Last.ID, r.Last.EventID.String(), l.Owner.String(), l.Epoch)
}

func (s *sqliteRelay) deleteEvents(ctx context.Context, db execer, l Lease, events []Event) (int64, error) {
	list, err := eventsJSON(events)
	if err != nil {
		return 0, err
	}
	return affected(db.ExecContext(ctx, s.names.Expand(sqliteDeleteEvents), list, l.Owner.String(), l.Epoch))
}

// sqliteNow is now plus so many milliseconds, in the form that outbox_leases keeps:
// RFC 3339 of fixed width, so that it compares as text.
func sqliteNow(plus string) string {
	return "strftime('%Y-%m-%dT%H:%M:%f', 'now', ((" + plus + ") / 1000.0) || ' seconds') || '000Z'"
}

func (s *sqliteRelay) claim(ctx context.Context, tx *sql.Tx, c Claim) (bool, error) {
	ttl := strconv.FormatInt(c.TTL.Milliseconds(), 10)
	result, err := tx.ExecContext(ctx, s.names.Expand(`UPDATE {outbox_leases}
SET owner = ?, epoch = epoch + 1, mode = coalesce(mode, ?), expires_at = `+sqliteNow(ttl)+`,
    hints = json_set(json_remove(hints, '$.halted', '$.blind', '$.outage'), '$.ttl_us', `+ttl+` * 1000)
WHERE id = 1 AND (owner = ? OR `+claimable(s.names, c.TTL)+`)`), c.Owner.String(), c.Mode, c.Unsure.String())
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

func (s *sqliteRelay) renew(ctx context.Context, l Lease, ttl time.Duration) (int64, error) {
	return s.exec(ctx, s.names.Expand("UPDATE {outbox_leases} SET expires_at = "+
		sqliteNow(strconv.FormatInt(ttl.Milliseconds(), 10))+" WHERE id = 1 AND owner = ? AND epoch = ?"), l.Owner.String(), l.Epoch)
}

func (s *sqliteRelay) inspect(ctx context.Context) (Source, error) {
	var src Source
	var name sql.NullString
	err := s.db.QueryRowContext(ctx, s.names.Expand("SELECT source, source_id FROM {outbox_leases} WHERE id = 1")).
		Scan(&name, &src.SourceID)
	src.Name = name.String
	return src, err
}

// writers: one transaction writes at a time, and takes its ids while it does. When a
// higher id is seen, whoever took a lower one has ended.
func (s *sqliteRelay) writers(context.Context) (Writers, error) { return Writers{Known: true}, nil }

// sequence: AUTOINCREMENT takes the higher of sqlite_sequence and the highest rowid.
func (s *sqliteRelay) sequence(context.Context) error { return nil }
