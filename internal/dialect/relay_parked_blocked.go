package dialect

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"slices"
)

// A key is blocked while outbox_parked has a row of it. The owner walks the keys once,
// part by part, and asks for single keys from then on.

// BlockedPart is where a walk over the parked keys stopped. Its zero value is the start.
type BlockedPart struct {
	Topic string
	Key   []byte
	Seq   int64
}

// blockedPartRows bounds the rows that one part goes through, whatever number of keys
// they have: each part is a statement of some milliseconds.
const blockedPartRows = 20_000

// The inner query ends after some rows of the index, which has all that is asked for. Rows
// without a key block nothing.
const (
	postgresBlocked = `SELECT topic, event_key, max(seq) FROM (
  SELECT topic, event_key, seq FROM {outbox_parked}
  WHERE event_key IS NOT NULL AND (topic, event_key, seq) > ($1::text, $2::text, $3::bigint)
  ORDER BY topic, event_key, seq LIMIT $4
) AS part GROUP BY topic, event_key ORDER BY topic, event_key`

	// MariaDB makes no range of a comparison of rows. max(topic): of topics that differ in
	// spaces at their end, which the index takes for one.
	mysqlBlocked = `SELECT CAST(topic AS BINARY), event_key, max(seq) FROM (
  SELECT topic, event_key, seq FROM {outbox_parked} FORCE INDEX ({outbox_parked_key_idx})
  WHERE event_key IS NOT NULL AND (topic > ? OR topic = ? AND (event_key > ? OR event_key = ? AND seq > ?))
  ORDER BY topic, event_key, seq LIMIT ?
) AS part GROUP BY CAST(topic AS BINARY), event_key ORDER BY max(topic), event_key, max(seq)`

	// SQLite would go through the rows of the first key from their start each time: seq is no
	// column of an index to it.
	sqliteBlocked = `SELECT topic, event_key, max(seq) FROM (
  SELECT * FROM (SELECT topic, event_key, seq FROM {outbox_parked}
    WHERE topic = ? AND event_key = ? AND seq > ? ORDER BY seq LIMIT ?)
  UNION ALL
  SELECT * FROM (SELECT topic, event_key, seq FROM {outbox_parked}
    WHERE event_key IS NOT NULL AND (topic, event_key) > (?, ?) ORDER BY topic, event_key, seq LIMIT ?)
  LIMIT ?
) AS part GROUP BY topic, event_key ORDER BY topic, event_key`
)

// BlockedKeys visits the next part of the topics and keys of which rows are parked, in the
// order of their index, and says where to go on. It returns false when there was none.
// A key that goes on in the next part is visited once, or, where MySQL's collation mixes its
// topic with another, once more.
//
// No transaction holds the parts together: call it while nobody else moves rows.
func (r *Relay) BlockedKeys(ctx context.Context, after BlockedPart, visit func(topic string, key []byte)) (_ BlockedPart, more bool, err error) {
	rows, err := r.db.QueryContext(ctx, r.parked.blocked, r.blockedArgs(after)...)
	if err != nil {
		return after, false, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	last := after
	for rows.Next() {
		last.Key = nil // the one before was passed on
		if err := rows.Scan(&last.Topic, &last.Key, &last.Seq); err != nil {
			return after, false, err
		}
		if more = true; after.Seq == 0 || last.Topic != after.Topic || !bytes.Equal(last.Key, after.Key) {
			visit(last.Topic, last.Key)
		}
	}
	return last, more, rows.Err()
}

func (r *Relay) blockedArgs(after BlockedPart) []any {
	switch r.names.Dialect {
	case MySQL:
		key := append([]byte{}, after.Key...) // not NULL
		return []any{after.Topic, after.Topic, key, key, after.Seq, blockedPartRows}
	case SQLite:
		key := string(after.Key)
		return []any{after.Topic, key, after.Seq, blockedPartRows, after.Topic, key, blockedPartRows, blockedPartRows}
	}
	return []any{after.Topic, string(after.Key), after.Seq, blockedPartRows}
}

// blockedLooks is how many keys one statement looks up: their JSON stays below MariaDB's
// max_allowed_packet.
const blockedLooks = 1000

// Blocked returns those of the keys of which rows are parked.
func (r *Relay) Blocked(ctx context.Context, keys []EventKey) (blocked []EventKey, err error) {
	for part := range slices.Chunk(keys, blockedLooks) {
		heads, err := r.parked.heads(ctx, r.db, part)
		if err != nil {
			return nil, err
		}
		for _, h := range heads {
			if h.seq != 0 {
				blocked = append(blocked, h.key)
			}
		}
	}
	return blocked, nil
}

// reader is a *sql.DB or a *sql.Tx.
type reader interface {
	querier
	rowQueryer
}

var _ reader = (*sql.Tx)(nil)
