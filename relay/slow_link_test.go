package relay

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sqldb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	store "github.com/postroom/postroom/internal/store/relay"
)

// large creates n events of one key, of this size each, in the server itself.
func (b *bench) large(n, size int) {
	b.t.Helper()
	b.exec("INSERT INTO outbox_events (topic, event_key, payload) SELECT 't', 'large', " + map[sqldb.Dialect]string{
		sqldb.PostgreSQL: fmt.Sprintf("convert_to(repeat('x', %d), 'UTF8') FROM generate_series(1, %d)", size, n),
		sqldb.MySQL:      fmt.Sprintf("REPEAT('x', %d) FROM seq_1_to_%d", size, n),
		sqldb.SQLite: fmt.Sprintf(
			"zeroblob(%d) FROM json_each('[0' || replace(hex(zeroblob(%d)), '00', ',0') || ']')",
			size, n-1),
	}[b.db.Dialect])
}

// slowly makes the relay reach its database over a link of 20 MB/s, and the test itself directly. SQLite has
// no link.
func (b *bench) slowly() *dbtest.Link {
	if b.db.Dialect == sqldb.SQLite {
		return new(dbtest.Link)
	}
	slow, link := dbtest.SlowLink(b.t, b.db, 20e6)
	b.over = slow.DB
	return link
}

// The relay has seen small events, and asks for thousands. Now they are large. It takes what it has room for,
// and closes the statement. In the past the driver then read the rest. On this link that took longer than a
// statement may last. So the read failed, the relay learnt nothing from it, and tried the same read without
// end.
func TestLargeEventsAfterSmallOnesComeOverASlowLink(t *testing.T) {
	t.Parallel()
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		const small, n, size = 400, 300, 200_000
		b := newBench(t, db)
		b.cfg.answerTimeout = time.Second // in that time the link carries less than MaxInFlightBytes
		link := b.slowly()
		b.commit("small", numbered("k", small)...)
		stop := b.start()
		eventually(t, "the small ones are delivered", b.empty)
		b.large(n, size)
		eventually(t, "the large ones are delivered", b.empty)
		require.NoError(t, stop())
		require.Equal(t, small+n, b.sink.count())
		last := int64(0)
		for _, p := range b.sink.published {
			require.Greater(t, p.id, last, "in order")
			last = p.id
		}
		require.LessOrEqual(t, link.Carried(), int64(2*n*size), "what a read does not want is not sent")
		require.LessOrEqual(t, link.Connections(), int64(25), "and sizes that are known cost no connection")
	})
}

// breaking loses the connection in each read that returns more than a number of rows.
type breaking struct {
	database
	after int
}

func (s breaking) Read(ctx context.Context, q store.ReadQuery,
	visit func(*store.Row) bool) (store.ReadInfo, error) {
	shown := 0
	info, err := s.database.Read(ctx, q, func(row *store.Row) bool {
		shown++
		return visit(row) && shown < s.after
	})
	if shown < s.after {
		return info, err
	}
	return info, errors.Join(err, errMem)
}

// No larger read succeeds. If the rows of a failed read were dropped, nothing would move. They are the first
// of a snapshot by their ids, like those of a read that was cut.
func TestWhatAReadShowedBeforeItFailedIsDelivered(t *testing.T) {
	t.Parallel()
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		b.naive = func(s database) database { return breaking{s, 3} }
		b.commit("k", numbered("k", 50)...)
		stop := b.start()
		eventually(t, "all are delivered", b.empty)
		require.NoError(t, stop())
		require.Equal(t, numbered("k", 50), b.sink.values())
	})
}
