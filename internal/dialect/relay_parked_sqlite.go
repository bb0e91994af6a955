package dialect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// CROSS JOIN keeps the order of the loops: from the list to the table, row by row along
// an index. The term with IN is the partial index's own: SQLite uses the index only
// for a query that repeats it.
const (
	sqliteMove = `INSERT INTO {outbox_parked} (` + parkedColumns + `)
SELECT e.id, e.event_id, e.topic, e.event_key, e.event_type, e.payload, e.headers, e.created_at,
       json_extract(a.value, '$[2]') = 'failed', json_extract(a.value, '$[3]'), json_extract(a.value, '$[2]'), json_extract(a.value, '$[4]')
FROM json_each(?) AS a CROSS JOIN {outbox_events} AS e
  ON e.id = json_extract(a.value, '$[0]') AND e.event_id = json_extract(a.value, '$[1]')
ORDER BY a.key`

	sqliteMoved = `DELETE FROM {outbox_events}
WHERE id IN (SELECT e.id FROM json_each(?) AS a CROSS JOIN {outbox_events} AS e
    ON e.id = json_extract(a.value, '$[0]') AND e.event_id = json_extract(a.value, '$[1]'))`

	sqliteOrphans = `SELECT p.seq FROM {outbox_parked} AS p
WHERE p.seq > ? AND p.state = 'blocked' AND (p.event_key IS NULL OR NOT EXISTS (
  SELECT 1 FROM {outbox_parked} AS e WHERE e.topic = p.topic AND e.event_key = p.event_key AND e.seq < p.seq))`

	sqliteCandidates = `SELECT seq, topic, event_key, overtaken FROM {outbox_parked}
WHERE state IN ('retry', 'drop') AND state = 'retry' AND seq > ? ORDER BY seq LIMIT ?`

	sqliteTurns = `SELECT r.seq, (
  SELECT k.seq FROM {outbox_parked} AS k WHERE k.topic = r.topic AND k.event_key = r.event_key AND k.state <> 'retry' ORDER BY k.seq LIMIT 1)
FROM json_each(?) AS a CROSS JOIN {outbox_parked} AS r ON r.seq = a.value`

	sqliteReplay = `SELECT seq, overtaken, attempts, id, ` + sqliteColumns + `
FROM {outbox_parked} WHERE state = 'retry' AND seq IN (SELECT value FROM json_each(?)) ORDER BY seq`

	sqliteParkedList = `FROM json_each(?) AS a CROSS JOIN {outbox_parked} AS p
ON p.seq = json_extract(a.value, '$[0]') AND p.event_id = json_extract(a.value, '$[1]')`

	sqliteKeys = `SELECT DISTINCT p.topic, p.event_key ` + sqliteParkedList + ` WHERE p.event_key IS NOT NULL`

	sqliteRemove = `DELETE FROM {outbox_parked} WHERE seq IN (SELECT p.seq ` + sqliteParkedList + `)`

	// The database is in this process, so a statement per key costs nothing; and JSON
	// would cut a key at a NUL.
	sqliteFirst = `SELECT seq, state FROM {outbox_parked} WHERE topic = ? AND event_key = ? ORDER BY seq LIMIT ?`

	sqliteRelease = `UPDATE {outbox_parked} SET state = 'retry' WHERE seq IN (SELECT value FROM json_each(?)) AND state = 'blocked'`

	sqliteOvertake = `UPDATE {outbox_parked} SET overtaken = true WHERE seq IN (SELECT value FROM json_each(?))`

	sqliteRefuse = `UPDATE {outbox_parked} AS p SET attempts = p.attempts + 1, error = json_extract(a.value, '$[2]'),
    overtaken = p.overtaken OR json_extract(a.value, '$[3]'), state = CASE p.state WHEN 'drop' THEN 'drop' ELSE 'failed' END
FROM json_each(?) AS a WHERE p.seq = json_extract(a.value, '$[0]') AND p.event_id = json_extract(a.value, '$[1]')`

	sqliteBlock = `UPDATE {outbox_parked} SET state = 'blocked' WHERE seq IN (
  SELECT p.seq FROM json_each(?) AS a CROSS JOIN {outbox_parked} AS r
    ON r.seq = json_extract(a.value, '$[0]') AND r.event_id = json_extract(a.value, '$[1]')
  CROSS JOIN {outbox_parked} AS p ON p.topic = r.topic AND p.event_key = r.event_key AND p.seq > r.seq
  WHERE p.state = 'retry' AND NOT p.overtaken)`

	sqliteDropped = `SELECT seq, id, event_id, topic, event_key FROM {outbox_parked}
WHERE state IN ('retry', 'drop') AND state = 'drop' ORDER BY seq LIMIT ?`

	sqliteRecord = `INSERT INTO {outbox_drops} (id, event_id, topic, event_key, error)
SELECT p.id, p.event_id, p.topic, p.event_key, p.error FROM json_each(?) AS a CROSS JOIN {outbox_parked} AS p ON p.seq = a.value ORDER BY p.seq`
)

func sqliteParked(n Names) parkedSQL {
	first := n.Expand(sqliteFirst)
	return parkedSQL{
		blocked:    n.Expand(sqliteBlocked),
		move:       []string{n.Expand(sqliteMove), n.Expand(sqliteMoved)},
		orphans:    n.Expand(sqliteOrphans),
		sent:       n.Expand(fmt.Sprintf(sentParked, "?", "?", "?", "?")),
		candidates: n.Expand(sqliteCandidates),
		turns:      n.Expand(sqliteTurns),
		replay:     n.Expand(sqliteReplay),
		scan:       scanParkedSQLite,
		keys:       n.Expand(sqliteKeys),
		remove:     n.Expand(sqliteRemove),
		heads: func(ctx context.Context, q reader, keys []EventKey) ([]parkedHead, error) {
			heads := make([]parkedHead, len(keys))
			for i, k := range keys {
				heads[i].key = k
				err := q.QueryRowContext(ctx, first, k.Topic, k.Key, 1).Scan(&heads[i].seq, &heads[i].state)
				if err != nil && !errors.Is(err, sql.ErrNoRows) {
					return nil, err
				}
			}
			return heads, nil
		},
		followers: func(ctx context.Context, tx *sql.Tx, of []parkedHead, most int) ([]int64, error) {
			var ready released
			for _, h := range of {
				if err := firstRowsSQLite(ctx, tx, first, h, most, &ready); err != nil {
					return nil, err
				}
			}
			return ready.seqs, nil
		},
		release:  n.Expand(sqliteRelease),
		overtake: n.Expand(sqliteOvertake),
		refuse:   n.Expand(sqliteRefuse),
		block:    n.Expand(sqliteBlock),
		dropped:  n.Expand(sqliteDropped),
		record:   n.Expand(sqliteRecord),
	}
}

func scanParkedSQLite(rows *sql.Rows, p *ParkedRow) error {
	var created any
	var tombstone bool
	err := rows.Scan(&p.Seq, &p.Overtaken, &p.Attempts,
		&p.ID, &p.EventID, &p.Topic, &p.Key, &p.Type, &p.Payload, (*object)(&p.Headers), &created, &tombstone)
	p.CreatedAt = sqliteTime(created)
	if p.Payload == nil && !tombstone {
		p.Payload = []byte{} // SQLite's drivers return an empty blob as nil
	}
	return err
}

func firstRowsSQLite(ctx context.Context, tx *sql.Tx, first string, h parkedHead, most int, ready *released) (err error) {
	rows, err := tx.QueryContext(ctx, first, h.key.Topic, h.key.Key, most)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var seq int64
		var state string
		if err := rows.Scan(&seq, &state); err != nil {
			return err
		}
		ready.add(h.seq, seq, state)
	}
	return rows.Err()
}
