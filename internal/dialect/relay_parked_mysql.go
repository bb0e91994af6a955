package dialect

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"time"
)

// A topic is compared by its bytes as well, for its column's collation takes `A` and
// `A ` for one. STRAIGHT_JOIN goes from the list to the table, row by row along an
// index: the optimiser knows nothing about the list, and would rather scan.
const (
	// FOR UPDATE: the DELETE that follows finds the rows that were copied. The list
	// is sorted before the join, so that no payload is.
	mysqlMove = `INSERT INTO {outbox_parked} (` + parkedColumns + `)
SELECT e.id, e.event_id, e.topic, e.event_key, e.event_type, e.payload, e.headers, e.created_at,
       a.state = 'failed', COALESCE(a.error, ''), a.state, a.overtaken
FROM JSON_TABLE(?, '$[*]' COLUMNS (n FOR ORDINALITY, id BIGINT PATH '$[0]', event_id CHAR(36) PATH '$[1]',
  state VARCHAR(16) PATH '$[2]', error VARCHAR(4000) PATH '$[3]', overtaken INT PATH '$[4]')) AS a
STRAIGHT_JOIN {outbox_events} AS e FORCE INDEX (PRIMARY) ON e.id = a.id AND e.event_id = CONVERT(a.event_id USING ascii) COLLATE ascii_bin
ORDER BY a.n FOR UPDATE`

	mysqlMoved = `DELETE e FROM JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$[0]', event_id CHAR(36) PATH '$[1]')) AS a
STRAIGHT_JOIN {outbox_events} AS e FORCE INDEX (PRIMARY) ON e.id = a.id AND e.event_id = CONVERT(a.event_id USING ascii) COLLATE ascii_bin`

	mysqlOrphans = `SELECT p.seq FROM {outbox_parked} AS p
WHERE p.seq > ? AND p.state = 'blocked' AND (p.event_key IS NULL OR NOT EXISTS (
  SELECT 1 FROM {outbox_parked} AS e WHERE e.topic = p.topic AND e.event_key = p.event_key
    AND CAST(e.topic AS BINARY) = CAST(p.topic AS BINARY) AND e.seq < p.seq LIMIT 1))`

	mysqlCandidates = `SELECT seq, topic, event_key, overtaken FROM {outbox_parked}
WHERE state = 'retry' AND seq > ? ORDER BY seq LIMIT ?`

	mysqlTurns = `SELECT r.seq, (
  SELECT k.seq FROM {outbox_parked} AS k WHERE k.topic = r.topic AND k.event_key = r.event_key
    AND CAST(k.topic AS BINARY) = CAST(r.topic AS BINARY) AND k.state <> 'retry' ORDER BY k.seq LIMIT 1)
FROM JSON_TABLE(?, '$[*]' COLUMNS (v BIGINT PATH '$')) AS a
STRAIGHT_JOIN {outbox_parked} AS r FORCE INDEX (PRIMARY) ON r.seq = a.v`

	mysqlReplay = `SELECT seq, overtaken, attempts, ` + mysqlColumns + `
FROM JSON_TABLE(?, '$[*]' COLUMNS (v BIGINT PATH '$')) AS a
STRAIGHT_JOIN {outbox_parked} AS p FORCE INDEX (PRIMARY) ON p.seq = a.v WHERE p.state = 'retry' ORDER BY a.v`

	mysqlParkedList = `FROM JSON_TABLE(?, '$[*]' COLUMNS (seq BIGINT PATH '$[0]', event_id CHAR(36) PATH '$[1]')) AS a
STRAIGHT_JOIN {outbox_parked} AS p FORCE INDEX (PRIMARY) ON p.seq = a.seq AND p.event_id = CONVERT(a.event_id USING ascii) COLLATE ascii_bin`

	mysqlKeys = `SELECT p.topic, p.event_key ` + mysqlParkedList + ` WHERE p.event_key IS NOT NULL`

	mysqlRemove = `DELETE p ` + mysqlParkedList

	// Topic and key come in hexadecimal digits, for JSON has no bytes.
	mysqlHeads = `SELECT f.n, e.seq, e.state FROM (
  SELECT a.n - 1 AS n, (
    SELECT k.seq FROM {outbox_parked} AS k
    WHERE k.topic = CONVERT(UNHEX(a.topic) USING utf8mb4) COLLATE utf8mb4_bin AND k.event_key = UNHEX(a.event_key)
      AND CAST(k.topic AS BINARY) = UNHEX(a.topic) ORDER BY k.seq LIMIT 1) AS seq
  FROM JSON_TABLE(?, '$[*]' COLUMNS (n FOR ORDINALITY, topic VARCHAR(2000) PATH '$[0]', event_key VARCHAR(1024) PATH '$[1]')) AS a
) AS f STRAIGHT_JOIN {outbox_parked} AS e FORCE INDEX (PRIMARY) ON e.seq = f.seq`

	// There is no LATERAL in MariaDB: the end of each key's first rows is found first.
	mysqlFollowers = `SELECT h.seq, e.seq, e.state FROM (
  SELECT p.seq, p.topic, p.event_key, COALESCE((
    SELECT k.seq FROM {outbox_parked} AS k WHERE k.topic = p.topic AND k.event_key = p.event_key
      AND CAST(k.topic AS BINARY) = CAST(p.topic AS BINARY) AND k.seq >= p.seq ORDER BY k.seq LIMIT 1 OFFSET ?), ` + maxSeq + `) AS stop
  FROM JSON_TABLE(?, '$[*]' COLUMNS (v BIGINT PATH '$')) AS a
  STRAIGHT_JOIN {outbox_parked} AS p FORCE INDEX (PRIMARY) ON p.seq = a.v
) AS h STRAIGHT_JOIN {outbox_parked} AS e ON e.topic = h.topic AND e.event_key = h.event_key
  AND CAST(e.topic AS BINARY) = CAST(h.topic AS BINARY) AND e.seq >= h.seq AND e.seq < h.stop
ORDER BY h.seq, e.seq`

	maxSeq = `9223372036854775807`

	mysqlRelease = `UPDATE JSON_TABLE(?, '$[*]' COLUMNS (v BIGINT PATH '$')) AS a
STRAIGHT_JOIN {outbox_parked} AS p FORCE INDEX (PRIMARY) ON p.seq = a.v SET p.state = 'retry' WHERE p.state = 'blocked'`

	mysqlOvertake = `UPDATE JSON_TABLE(?, '$[*]' COLUMNS (v BIGINT PATH '$')) AS a
STRAIGHT_JOIN {outbox_parked} AS p FORCE INDEX (PRIMARY) ON p.seq = a.v SET p.overtaken = true`

	mysqlRefusals = `JSON_TABLE(?, '$[*]' COLUMNS (seq BIGINT PATH '$[0]', event_id CHAR(36) PATH '$[1]',
  reason VARCHAR(4000) PATH '$[2]', overtaken INT PATH '$[3]')) AS a
STRAIGHT_JOIN {outbox_parked} AS r FORCE INDEX (PRIMARY) ON r.seq = a.seq AND r.event_id = CONVERT(a.event_id USING ascii) COLLATE ascii_bin`

	mysqlRefuse = `UPDATE ` + mysqlRefusals + `
SET r.attempts = r.attempts + 1, r.error = COALESCE(a.reason, ''), r.overtaken = r.overtaken OR a.overtaken,
    r.state = CASE r.state WHEN 'drop' THEN 'drop' ELSE 'failed' END`

	mysqlBlock = `UPDATE ` + mysqlRefusals + `
STRAIGHT_JOIN {outbox_parked} AS p ON p.topic = r.topic AND p.event_key = r.event_key
  AND CAST(p.topic AS BINARY) = CAST(r.topic AS BINARY) AND p.seq > r.seq
SET p.state = 'blocked' WHERE p.state = 'retry' AND NOT p.overtaken`

	mysqlDropped = `SELECT seq, id, event_id, topic, event_key FROM {outbox_parked}
WHERE state = 'drop' ORDER BY seq LIMIT ? FOR UPDATE`

	mysqlRecord = `INSERT INTO {outbox_drops} (id, event_id, topic, event_key, error)
SELECT p.id, p.event_id, p.topic, p.event_key, p.error FROM JSON_TABLE(?, '$[*]' COLUMNS (v BIGINT PATH '$')) AS a
STRAIGHT_JOIN {outbox_parked} AS p FORCE INDEX (PRIMARY) ON p.seq = a.v ORDER BY a.v`
)

func mysqlParked(n Names) parkedSQL {
	heads, followers := n.Expand(mysqlHeads), n.Expand(mysqlFollowers)
	return parkedSQL{
		blocked:    n.Expand(mysqlBlocked),
		move:       []string{n.Expand(mysqlRowWait + mysqlMove), n.Expand(mysqlRowWait + mysqlMoved)},
		orphans:    n.Expand(mysqlOrphans),
		sent:       n.Expand(fmt.Sprintf(sentParked, "?", "?", "?", "?")),
		candidates: n.Expand(mysqlCandidates),
		turns:      n.Expand(mysqlTurns),
		replay:     n.Expand(mysqlReplay),
		scan: func(rows *sql.Rows, p *ParkedRow) error {
			var micros sql.NullInt64
			err := rows.Scan(&p.Seq, &p.Overtaken, &p.Attempts,
				&p.ID, &p.EventID, &p.Topic, &p.Key, &p.Type, &p.Payload, (*object)(&p.Headers), &micros)
			p.CreatedAt = time.UnixMicro(micros.Int64).UTC()
			return err
		},
		keys:   n.Expand(mysqlKeys),
		remove: n.Expand(mysqlRemove),
		heads: func(ctx context.Context, q reader, keys []EventKey) ([]parkedHead, error) {
			pairs := make([][2]string, len(keys))
			for i, k := range keys {
				pairs[i] = [2]string{hex.EncodeToString([]byte(k.Topic)), hex.EncodeToString([]byte(k.Key))}
			}
			return queryHeads(ctx, q, heads, pairs, keys)
		},
		followers: func(ctx context.Context, tx *sql.Tx, of []parkedHead, most int) ([]int64, error) {
			return queryFollowers(ctx, tx, followers, most, headsJSON(of))
		},
		release:  n.Expand(mysqlRelease),
		overtake: n.Expand(mysqlOvertake),
		refuse:   n.Expand(mysqlRefuse),
		block:    n.Expand(mysqlBlock),
		dropped:  n.Expand(mysqlDropped),
		record:   n.Expand(mysqlRecord),
	}
}
