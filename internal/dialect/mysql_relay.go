package dialect

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

type mysqlRelay struct {
	relayBase
	look writersMySQL
}

func newMySQLRelay(b relayBase) *mysqlRelay {
	return &mysqlRelay{relayBase: b, look: writersMySQL(b)}
}

// Integers are written into the statement: a placeholder would cost a round trip to
// prepare it, and the optimiser plans literal ranges over the primary key well.
//
// The header row names the server by host, port and id: MariaDB has no UUID of its
// own, and AUTO_INCREMENT survives a restart of either.
const (
	mysqlColumns = `id, event_id, topic, event_key, event_type, payload, headers, ` +
		`TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', created_at)`

	// In a statement that writes it is safe: the relay's transactions read committed
	// rows, and for those InnoDB accepts no binary log that a replica would evaluate anew.
	mysqlServer = `CONCAT_WS('/', @@hostname, @@port, @@server_id)`

	mysqlHeader = `SELECT 0, NULL, IF(@@read_only, 'standby', 'primary'), NULL, ` + mysqlServer + `, NULL, NULL, NULL`

	// LIMIT, the number of rows: without it InnoDB looks at the row behind the range
	// to see that it has ended, and waits there for an open writer's lock.
	// As postgresRowWait. MySQL takes it for a comment, and waits for as long as its
	// innodb_lock_wait_timeout says.
	mysqlRowWait = "/*M! SET STATEMENT innodb_lock_wait_timeout = 1 FOR */ "

	mysqlDeleteRun = `DELETE FROM {outbox_events}
WHERE id BETWEEN ? AND ?
  AND EXISTS (SELECT 1 FROM (SELECT id FROM {outbox_events} WHERE id = ? AND event_id = ? LIMIT 1) AS last)
  AND EXISTS (SELECT 1 FROM {outbox_leases} WHERE id = 1 AND owner = ? AND epoch = ? AND ` + mysqlServer + ` = ?)
ORDER BY id LIMIT ?`

	// FORCE INDEX: in a small table the optimiser prefers a scan, which waits for the
	// rows of every open transaction; and by stale statistics every table is small.
	mysqlDeleteEvents = mysqlDeleteNamed + `
WHERE EXISTS (SELECT 1 FROM {outbox_leases} WHERE id = 1 AND owner = ? AND epoch = ? AND ` + mysqlServer + ` = ?)`

	mysqlDeleteNamed = `DELETE e FROM JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$[0]', event_id CHAR(36) PATH '$[1]')) AS delivered
STRAIGHT_JOIN {outbox_events} AS e FORCE INDEX (PRIMARY) ON e.id = delivered.id AND e.event_id = CONVERT(delivered.event_id USING ascii) COLLATE ascii_bin`
)

func (m *mysqlRelay) read(ctx context.Context, q ReadQuery, visit func(*Row) bool) (ReadInfo, error) {
	rows, err := m.stream(ctx, m.names.Expand(m.readStatement(q)))
	if err != nil {
		return ReadInfo{}, err
	}
	var micros sql.NullInt64
	stamped := func(row *Row) bool {
		row.CreatedAt = time.UnixMicro(micros.Int64).UTC()
		return visit(row)
	}
	return visitRows(rows, q, stamped, func(row *Row, _ *sql.NullTime) []any {
		return []any{&row.ID, &row.EventID, &row.Topic, &row.Key, &row.Type, &row.Payload, (*object)(&row.Headers), &micros}
	})
}

func (m *mysqlRelay) readStatement(q ReadQuery) string {
	var b strings.Builder
	b.WriteString(mysqlHeader)
	if len(q.Gaps) > 0 {
		b.WriteString("\nUNION ALL (SELECT " + mysqlColumns + " FROM {outbox_events} WHERE ")
		for i, g := range q.Gaps {
			if i > 0 {
				b.WriteString(" OR ")
			}
			if g.Lo == g.Hi {
				fmt.Fprintf(&b, "id = %d", g.Lo)
			} else {
				fmt.Fprintf(&b, "id BETWEEN %d AND %d", g.Lo, g.Hi)
			}
		}
		fmt.Fprintf(&b, " ORDER BY id LIMIT %d)", q.Limit)
	}
	if !q.GapsOnly {
		fmt.Fprintf(&b, "\nUNION ALL (SELECT "+mysqlColumns+" FROM {outbox_events} WHERE id > %d ORDER BY id LIMIT %d)", q.Head, q.Limit)
	}
	return b.String()
}

func (m *mysqlRelay) deleteRun(ctx context.Context, l Lease, r Run) (int64, error) {
	return m.exec(ctx, m.names.Expand(mysqlRowWait+mysqlDeleteRun), r.Lo, r.Last.ID, r.Last.ID, r.Last.EventID.String(), l.Owner.String(), l.Epoch, l.Server,
		r.Last.ID-r.Lo+1)
}

func (m *mysqlRelay) deleteEvents(ctx context.Context, db execer, l Lease, events []Event) (int64, error) {
	list, err := eventsJSON(events)
	if err != nil {
		return 0, err
	}
	return affected(db.ExecContext(ctx, m.names.Expand(mysqlRowWait+mysqlDeleteEvents), list, l.Owner.String(), l.Epoch, l.Server))
}

// eventsJSON lists events as [[id, "event id"], …].
func eventsJSON(events []Event) (string, error) {
	pairs := make([][2]any, len(events))
	for i, e := range events {
		pairs[i] = [2]any{e.ID, e.EventID}
	}
	list, err := json.Marshal(pairs)
	return string(list), err
}

// claim locks the row first: utc_timestamp is a statement's start, and an UPDATE that
// waited for the lock would judge by a time long past.
func (m *mysqlRelay) claim(ctx context.Context, tx *sql.Tx, c Claim) (bool, error) {
	if _, err := tx.ExecContext(ctx, m.names.Expand("SELECT id FROM {outbox_leases} WHERE id = 1 FOR UPDATE")); err != nil {
		return false, err
	}
	ttl := strconv.FormatInt(c.TTL.Microseconds(), 10)
	result, err := tx.ExecContext(ctx, m.names.Expand(`UPDATE {outbox_leases}
SET owner = ?, epoch = epoch + 1, mode = coalesce(mode, ?), expires_at = UTC_TIMESTAMP(6) + INTERVAL `+ttl+` MICROSECOND,
    hints = JSON_SET(JSON_REMOVE(hints, '$.halted', '$.blind', '$.outage'), '$.ttl_us', `+ttl+`)
WHERE id = 1 AND (owner = ? OR `+claimable(m.names, c.TTL)+`)`),
		c.Owner.String(), c.Mode, c.Unsure.String())
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

func (m *mysqlRelay) renew(ctx context.Context, l Lease, ttl time.Duration) (int64, error) {
	return m.exec(ctx, m.names.Expand(`UPDATE {outbox_leases}
SET expires_at = UTC_TIMESTAMP(6) + INTERVAL `+strconv.FormatInt(ttl.Microseconds(), 10)+` MICROSECOND
WHERE id = 1 AND owner = ? AND epoch = ? AND `+mysqlServer+` = ?`), l.Owner.String(), l.Epoch, l.Server)
}

func (m *mysqlRelay) inspect(ctx context.Context) (Source, error) {
	var s Source
	var name sql.NullString
	var increment int64
	err := m.db.QueryRowContext(ctx, m.names.Expand(
		"SELECT source, source_id, @@read_only, @@auto_increment_increment FROM {outbox_leases} WHERE id = 1")).
		Scan(&name, &s.SourceID, &s.Standby, &increment)
	if err != nil {
		return s, err
	}
	s.Name = name.String
	if increment > 1 {
		s.Unordered = fmt.Sprintf("auto_increment_increment is %d: with several writable nodes ids do not follow the order of commits", increment)
	}
	s.Unordered += m.cluster(ctx)
	return s, nil
}

// cluster says whether the server is a node of Galera or of group replication, which
// let several nodes write.
func (m *mysqlRelay) cluster(ctx context.Context) string {
	for variable, name := range map[string]string{"wsrep_on": "Galera", "group_replication_group_name": "group replication"} {
		var ignored, value string
		err := m.db.QueryRowContext(ctx, "SHOW GLOBAL VARIABLES LIKE '"+variable+"'").Scan(&ignored, &value)
		if err == nil && value != "" && !strings.EqualFold(value, "OFF") {
			return " the server is a node of " + name + ": keep all writers on one node"
		}
	}
	return ""
}

func (m *mysqlRelay) writers(ctx context.Context) (Writers, error) { return m.look.writers(ctx) }

// sequence: InnoDB keeps AUTO_INCREMENT above the highest id by itself, after an
// explicit id, a restart and a restore alike.
func (m *mysqlRelay) sequence(context.Context) error { return nil }
