package relay

import (
	"bytes"
	"context"
	"database/sql"
	"slices"

	"github.com/postroom/postroom/internal/db"
)

// A key is blocked while outbox_parked has a row of it. The owner walks over all parked keys once, part by
// part. After that it looks up single keys.

// BlockedPart is where a walk over the parked keys stopped. Its zero value is the start.
type BlockedPart struct {
	Topic string
	Key   []byte
	Seq   int64
}

// blockedPartRows bounds the rows of one part, however many keys they have, so that each part is a statement
// of some milliseconds.
const blockedPartRows = 20_000

// ScanBlockedKeys visits the next part of the topics and keys that have parked rows, in the order of their
// index, and says where to go on. It returns false when there is no further part. A key whose rows continue
// in the next part is visited once. MySQL's collation may mix its topic with another one, and then the key is
// visited once more.
//
// No transaction holds the parts together, so call it while nobody else moves rows.
func (s Parked) ScanBlockedKeys(ctx context.Context, after BlockedPart, visit func(topic string, key []byte)) (
	_ BlockedPart, more bool, err error) {
	last := after
	err = db.Each(ctx, s.pool, func(rows *sql.Rows) error {
		last.Key = nil // the previous key was passed on
		if err := rows.Scan(&last.Topic, &last.Key, &last.Seq); err != nil {
			last = after
			return err
		}
		if more = true; after.Seq == 0 || last.Topic != after.Topic || !bytes.Equal(last.Key, after.Key) {
			visit(last.Topic, last.Key)
		}
		return nil
	}, s.sql.BlockedKeys, s.dialect.blockedKeysArgs(after)...)
	if err != nil {
		return after, false, err
	}
	return last, more, nil
}

// blockedLooks is how many keys one statement looks up. Their JSON stays below MariaDB's max_allowed_packet.
const blockedLooks = 1000

// FindBlockedKeys returns those of the keys that have parked rows.
func (s Parked) FindBlockedKeys(ctx context.Context, keys []db.EventKey) (blocked []db.EventKey, err error) {
	for part := range slices.Chunk(keys, blockedLooks) {
		heads, err := s.dialect.firstParked(ctx, s.pool, part)
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

// parkedHead is the first row of a key.
type parkedHead struct {
	key   db.EventKey
	seq   int64 // 0: none
	state string
}

// queryFirstParked reads the first rows of keys. The statement returns each with its key's place in the list.
func (c *conn) queryFirstParked(ctx context.Context, q reader, keys []db.EventKey,
	pair func(db.EventKey) []any) ([]parkedHead, error) {
	heads := make([]parkedHead, len(keys))
	for i, k := range keys {
		heads[i].key = k
	}
	err := db.Each(ctx, q, func(rows *sql.Rows) error {
		var i, seq int64
		var state string
		if err := rows.Scan(&i, &seq, &state); err != nil {
			return err
		}
		heads[i].seq, heads[i].state = seq, state
		return nil
	}, c.sql.server.FirstParked, listJSON(keys, pair)...)
	if err != nil {
		return nil, err
	}
	return heads, nil
}

// queryFollowers reads the rows of the heads' keys, and returns the rows to release.
func (c *conn) queryFollowers(ctx context.Context, tx *sql.Tx, args ...any) ([]int64, error) {
	var ready released
	err := db.Each(ctx, tx, func(rows *sql.Rows) error {
		var head, seq int64
		var state string
		if err := rows.Scan(&head, &seq, &state); err != nil {
			return err
		}
		ready.add(head, seq, state)
		return nil
	}, c.sql.server.Followers, args...)
	if err != nil {
		return nil, err
	}
	return ready.seqs, nil
}

func seqsOfHeads(heads []parkedHead) string {
	seqs := make([]int64, len(heads))
	for i, h := range heads {
		seqs[i] = h.seq
	}
	return intsJSON(seqs)
}

// released selects from the first rows of keys the blocked ones that come before a failed one. The rows
// arrive key by key, in the order of seq.
type released struct {
	head   int64
	failed bool
	seqs   []int64
}

func (l *released) add(head, seq int64, state string) {
	if head != l.head {
		l.head, l.failed = head, false
	}
	l.failed = l.failed || state == db.ParkedFailed
	if !l.failed && state == db.ParkedBlocked {
		l.seqs = append(l.seqs, seq)
	}
}
