package dialect

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
)

const (
	// One statement: the rows are copied as they are deleted. INSERT takes seq from
	// its sequence after the sort.
	postgresMove = `WITH moved AS (
  DELETE FROM {outbox_events} AS e USING json_array_elements($1::json) WITH ORDINALITY AS a (v, n)
  WHERE e.id = (a.v->>0)::bigint AND e.event_id = (a.v->>1)::uuid` + postgresRowWait + `
  RETURNING e.*, a.n, a.v->>2 AS state, a.v->>3 AS error, a.v->>4 = '1' AS overtaken
)
INSERT INTO {outbox_parked} (` + parkedColumns + `)
SELECT id, event_id, topic, event_key, event_type, payload, headers, created_at,
       CASE state WHEN 'failed' THEN 1 ELSE 0 END, error, state, overtaken
FROM moved ORDER BY n`

	parkedColumns = `id, event_id, topic, event_key, event_type, payload, headers, created_at, attempts, error, state, overtaken`

	postgresOrphans = `SELECT p.seq FROM {outbox_parked} AS p
WHERE p.seq > $1 AND p.state = 'blocked' AND (p.event_key IS NULL OR NOT EXISTS (
  SELECT 1 FROM {outbox_parked} AS e WHERE e.topic = p.topic AND e.event_key = p.event_key AND e.seq < p.seq))`

	postgresCandidates = `SELECT seq, topic, event_key, overtaken FROM {outbox_parked}
WHERE state IN ('retry', 'drop') AND state = 'retry' AND seq > $1 ORDER BY seq LIMIT $2`

	postgresTurns = `SELECT r.seq, e.seq FROM json_array_elements_text($1::json) AS a (v)
JOIN {outbox_parked} AS r ON r.seq = a.v::bigint
LEFT JOIN LATERAL (
  SELECT seq FROM {outbox_parked} AS k WHERE k.topic = r.topic AND k.event_key = r.event_key AND k.state <> 'retry'
  ORDER BY k.topic, k.event_key, k.seq LIMIT 1
) AS e ON true`

	postgresReplay = `SELECT seq, overtaken, attempts, id, uuid_send(event_id), topic, event_key, event_type, payload, headers::text, created_at
FROM {outbox_parked} WHERE state = 'retry'
  AND seq = ANY (ARRAY(SELECT v::bigint FROM json_array_elements_text($1::json) AS a (v))) ORDER BY seq`

	postgresKeys = `SELECT DISTINCT p.topic, p.event_key FROM json_array_elements($1::json) AS a (v)
JOIN {outbox_parked} AS p ON p.seq = (a.v->>0)::bigint AND p.event_id = (a.v->>1)::uuid
WHERE p.event_key IS NOT NULL`

	postgresRemove = `DELETE FROM {outbox_parked} AS p USING json_array_elements($1::json) AS a (v)
WHERE p.seq = (a.v->>0)::bigint AND p.event_id = (a.v->>1)::uuid`

	postgresHeads = `SELECT a.n - 1, e.seq, e.state FROM json_array_elements($1::json) WITH ORDINALITY AS a (v, n)
JOIN LATERAL (
  SELECT seq, state FROM {outbox_parked} AS k WHERE k.topic = a.v->>0 AND k.event_key = a.v->>1
  ORDER BY k.topic, k.event_key, k.seq LIMIT 1
) AS e ON true`

	postgresFollowers = `SELECT h.seq, e.seq, e.state FROM json_array_elements_text($1::json) AS a (v)
JOIN {outbox_parked} AS h ON h.seq = a.v::bigint
CROSS JOIN LATERAL (
  SELECT seq, state FROM {outbox_parked} AS k WHERE k.topic = h.topic AND k.event_key = h.event_key AND k.seq >= h.seq
  ORDER BY k.topic, k.event_key, k.seq LIMIT $2
) AS e ORDER BY h.seq, e.seq`

	postgresRelease = `UPDATE {outbox_parked} AS p SET state = 'retry' FROM json_array_elements_text($1::json) AS a (v)
WHERE p.seq = a.v::bigint AND p.state = 'blocked'`

	postgresOvertake = `UPDATE {outbox_parked} AS p SET overtaken = true FROM json_array_elements_text($1::json) AS a (v)
WHERE p.seq = a.v::bigint`

	postgresRefuse = `UPDATE {outbox_parked} AS p SET attempts = p.attempts + 1, error = a.v->>2, overtaken = p.overtaken OR a.v->>3 = '1',
    state = CASE p.state WHEN 'drop' THEN 'drop' ELSE 'failed' END
FROM json_array_elements($1::json) AS a (v) WHERE p.seq = (a.v->>0)::bigint AND p.event_id = (a.v->>1)::uuid`

	postgresBlock = `UPDATE {outbox_parked} AS p SET state = 'blocked'
FROM json_array_elements($1::json) AS a (v)
JOIN {outbox_parked} AS r ON r.seq = (a.v->>0)::bigint AND r.event_id = (a.v->>1)::uuid
WHERE p.topic = r.topic AND p.event_key = r.event_key AND p.seq > r.seq
  AND p.state IN ('retry', 'drop') AND p.state = 'retry' AND NOT p.overtaken`

	postgresDropped = `SELECT seq, id, event_id, topic, event_key FROM {outbox_parked}
WHERE state IN ('retry', 'drop') AND state = 'drop' ORDER BY seq LIMIT $1 FOR UPDATE`

	postgresRecord = `INSERT INTO {outbox_drops} (id, event_id, topic, event_key, error)
SELECT p.id, p.event_id, p.topic, p.event_key, p.error FROM json_array_elements_text($1::json) AS a (v)
JOIN {outbox_parked} AS p ON p.seq = a.v::bigint ORDER BY p.seq`
)

func postgresParked(n Names) parkedSQL {
	heads, followers := n.Expand(postgresHeads), n.Expand(postgresFollowers)
	return parkedSQL{
		blocked:    n.Expand(postgresBlocked),
		move:       []string{n.Expand(postgresMove)},
		orphans:    n.Expand(postgresOrphans),
		sent:       n.Expand(fmt.Sprintf(sentParked, "$1", "$2", "$3", "$4")),
		candidates: n.Expand(postgresCandidates),
		turns:      n.Expand(postgresTurns),
		replay:     n.Expand(postgresReplay),
		scan: func(rows *sql.Rows, p *ParkedRow) error {
			return rows.Scan(&p.Seq, &p.Overtaken, &p.Attempts,
				&p.ID, &p.EventID, &p.Topic, &p.Key, &p.Type, &p.Payload, (*object)(&p.Headers), &p.CreatedAt)
		},
		keys:   n.Expand(postgresKeys),
		remove: n.Expand(postgresRemove),
		heads: func(ctx context.Context, q reader, keys []EventKey) ([]parkedHead, error) {
			pairs := make([][2]string, len(keys))
			for i, k := range keys {
				pairs[i] = [2]string{k.Topic, k.Key}
			}
			return queryHeads(ctx, q, heads, pairs, keys)
		},
		followers: func(ctx context.Context, tx *sql.Tx, of []parkedHead, most int) ([]int64, error) {
			return queryFollowers(ctx, tx, followers, headsJSON(of), most)
		},
		release:  n.Expand(postgresRelease),
		overtake: n.Expand(postgresOvertake),
		refuse:   n.Expand(postgresRefuse),
		block:    n.Expand(postgresBlock),
		dropped:  n.Expand(postgresDropped),
		record:   n.Expand(postgresRecord),
	}
}

// queryHeads asks for the first rows of keys, which the statement numbers by their
// places in the list.
func queryHeads(ctx context.Context, q querier, query string, list any, keys []EventKey) (heads []parkedHead, err error) {
	pairs, err := json.Marshal(list)
	if err != nil {
		return nil, err
	}
	rows, err := q.QueryContext(ctx, query, string(pairs))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	heads = make([]parkedHead, len(keys))
	for i, k := range keys {
		heads[i].key = k
	}
	for rows.Next() {
		var i, seq int64
		var state string
		if err := rows.Scan(&i, &seq, &state); err != nil {
			return nil, err
		}
		heads[i].seq, heads[i].state = seq, state
	}
	return heads, rows.Err()
}

// queryFollowers asks for the rows of the heads' keys, and returns those to release.
func queryFollowers(ctx context.Context, tx *sql.Tx, query string, args ...any) (_ []int64, err error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var ready released
	for rows.Next() {
		var head, seq int64
		var state string
		if err := rows.Scan(&head, &seq, &state); err != nil {
			return nil, err
		}
		ready.add(head, seq, state)
	}
	return ready.seqs, rows.Err()
}

func headsJSON(heads []parkedHead) string {
	seqs := make([]int64, len(heads))
	for i, h := range heads {
		seqs[i] = h.seq
	}
	return intsJSON(seqs)
}
