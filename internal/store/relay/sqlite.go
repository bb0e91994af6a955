package relay

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/postroom/postroom/internal/db"
)

// sqlite implements dialect for SQLite.
type sqlite struct{ *conn }

func (s sqlite) read(q ReadQuery) (string, []any) {
	statement, args := s.sql.ReadHeader, []any(nil)
	if len(q.Gaps) > 0 {
		statement, args = statement+"\nUNION ALL "+s.sql.ReadGaps, append(args, gapsJSON(q.Gaps), q.Limit)
	}
	if !q.GapsOnly {
		statement, args = statement+"\nUNION ALL "+s.sql.ReadTail, append(args, q.Head, q.Limit)
	}
	return statement, args
}

func gapsJSON(gaps []Range) string {
	var b strings.Builder
	for i, g := range gaps {
		b.WriteByte("[,"[min(i, 1)])
		fmt.Fprintf(&b, "[%d,%d]", g.Lo, g.Hi)
	}
	return b.String() + "]"
}

func (s sqlite) columns(row *Row) ([]any, func()) {
	var created any
	var tombstone bool
	finish := func() {
		row.CreatedAt = timeOf(created)
		if row.Payload == nil && !tombstone {
			row.Payload = []byte{} // SQLite's drivers return an empty blob as nil
		}
	}
	return append(row.columns(), &created, &tombstone),
		finish
}

// timeOf converts what the driver makes of the column: text, or a time. A CHECK in the table excludes
// everything else. If there were such a value, timeOf would return the zero time.
func timeOf(v any) time.Time {
	var m db.Moment
	_ = m.Scan(v)
	return time.Time(m)
}

func (s sqlite) inspect(ctx context.Context) (Source, error) {
	var src Source
	var name sql.NullString
	err := s.pool.QueryRowContext(ctx, s.sql.Inspect).Scan(&name, &src.SourceID)
	src.Name = name.String
	return src, err
}

// openWriters returns no writer. Only one transaction writes at a time, and it takes its ids while it writes.
// When a higher id is seen, the transactions with lower ids have ended.
func (s sqlite) openWriters(context.Context) (Writers, error) { return Writers{Known: true}, nil }

// checkSequence has nothing to do: AUTOINCREMENT uses the higher one of sqlite_sequence and the highest
// rowid.
func (s sqlite) checkSequence(context.Context) error { return nil }

func (s sqlite) firstParked(ctx context.Context, q reader, keys []db.EventKey) ([]parkedHead, error) {
	heads := make([]parkedHead, len(keys))
	for i, k := range keys {
		heads[i].key = k
		err := q.QueryRowContext(ctx, s.sql.sqlite.FirstRows, k.Topic, k.Key, 1).Scan(&heads[i].seq, &heads[i].state)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, err
		}
	}
	return heads, nil
}

func (s sqlite) followers(ctx context.Context, tx *sql.Tx, heads []parkedHead, most int) ([]int64, error) {
	var ready released
	for _, h := range heads {
		err := db.Each(ctx, tx, func(rows *sql.Rows) error {
			var seq int64
			var state string
			if err := rows.Scan(&seq, &state); err != nil {
				return err
			}
			ready.add(h.seq, seq, state)
			return nil
		}, s.sql.sqlite.FirstRows, h.key.Topic, h.key.Key, most)
		if err != nil {
			return nil, err
		}
	}
	return ready.seqs, nil
}

func (s sqlite) blockedKeysArgs(after BlockedPart) []any {
	key := string(after.Key)
	return []any{after.Topic, key, after.Seq, blockedPartRows, after.Topic, key, blockedPartRows, blockedPartRows}
}
