package relay

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/postroom/postroom/internal/db"
)

// postgres implements dialect for PostgreSQL.
type postgres struct{ *conn }

func (p postgres) read(q ReadQuery) (string, []any) {
	statement, args := p.sql.ReadHeader, []any{q.Limit, q.Head}
	if q.GapsOnly {
		args[1] = int64(math.MaxInt64)
	}
	if len(q.Gaps) > 0 {
		ends := arrays(2, len(q.Gaps), func(i, column int) string {
			return strconv.FormatInt([2]int64{q.Gaps[i].Lo, q.Gaps[i].Hi}[column], 10)
		})
		statement, args = statement+"\nUNION ALL\n"+p.sql.ReadGaps, append(append(args, ends...), asleepArray(q))
	}
	return statement + "\nUNION ALL\n" + p.sql.ReadTail, args
}

// asleepArray writes an array of arrays of xid8 as text.
func asleepArray(q ReadQuery) string {
	var b strings.Builder
	for i := range q.Gaps {
		b.WriteByte("{,"[min(i, 1)])
		b.WriteByte('"')
		if i < len(q.Asleep) && len(q.Asleep[i]) > 0 {
			for j, number := range q.Asleep[i] {
				b.WriteByte("{,"[min(j, 1)])
				b.WriteString(strconv.FormatUint(number, 10))
			}
			b.WriteByte('}')
		}
		b.WriteByte('"')
	}
	return b.String() + "}"
}

func (p postgres) columns(row *Row) ([]any, func()) {
	var created sql.NullTime
	return append(row.columns(), &created),
		func() { row.CreatedAt = created.Time }
}

func (p postgres) inspect(ctx context.Context) (Source, error) {
	var s Source
	var name sql.NullString
	err := p.pool.QueryRowContext(ctx, p.sql.Inspect).Scan(&name, &s.SourceID, &s.Standby)
	s.Name = name.String
	return s, err
}

func (p postgres) openWriters(ctx context.Context) (Writers, error) {
	w := Writers{Known: true}
	err := db.Each(ctx, p.pool, func(rows *sql.Rows) error {
		var id, rest string
		var number, next int64
		if err := rows.Scan(&id, &rest, &number, &next); err != nil {
			return err
		}
		if number > 0 { // it is running, so its number is within 2^31 of the next one
			number = next + int64(int32(uint32(number)-uint32(next)))
		}
		writer := Writer{ID: "prepared:" + id, Rest: rest, Number: uint64(number)}
		if !strings.HasPrefix(id, "-1/") {
			// After a restart the relay reads from the start and forgets its gaps, but it may look at the
			// writers before that read.
			writer = Writer{ID: id, Next: "prepared:", Rest: rest, Number: uint64(number)}
		}
		w.Open = append(w.Open, writer)
		return nil
	}, p.sql.postgres.OpenWriters, p.names.Table(db.Events))
	if err != nil {
		return Writers{}, err
	}
	if !slices.ContainsFunc(w.Open, func(open Writer) bool { return open.Rest != "" }) {
		return w, nil
	}
	var given sql.NullInt64
	err = p.pool.QueryRowContext(ctx, p.sql.server.LastGivenID, p.names.Table(db.Events)).Scan(&given)
	w.Given = given.Int64
	return w, err
}

// checkSequence looks at the sequence if the relay's user may read it. A user with SELECT only on the table
// sees NULL, and then nothing is checked.
func (p postgres) checkSequence(ctx context.Context) error {
	var last, highest sql.NullInt64
	err := p.pool.QueryRowContext(ctx, p.sql.postgres.CheckSequence, p.names.Table(db.Events)).Scan(&last, &highest)
	if err != nil {
		return fmt.Errorf("look at the id sequence: %w", err)
	}
	if last.Valid && highest.Valid && last.Int64 < highest.Int64 {
		table := p.names.Plain(db.Events)
		return fmt.Errorf("%w: it stands at %d, and %s has id %d: was the database restored without its sequences? "+
			"Run: SELECT setval('%s', %d)",
			ErrSequenceBehind, last.Int64, table, highest.Int64, table+"_id_seq", highest.Int64)
	}
	return nil
}

func (p postgres) firstParked(ctx context.Context, q reader, keys []db.EventKey) ([]parkedHead, error) {
	return p.queryFirstParked(ctx, q, keys, func(k db.EventKey) []any { return []any{k.Topic, k.Key} })
}

func (p postgres) followers(ctx context.Context, tx *sql.Tx, heads []parkedHead, most int) ([]int64, error) {
	return p.queryFollowers(ctx, tx, seqsOfHeads(heads), most)
}

func (p postgres) blockedKeysArgs(after BlockedPart) []any {
	return []any{after.Topic, string(after.Key), after.Seq, blockedPartRows}
}
