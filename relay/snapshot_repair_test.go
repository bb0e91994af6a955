package relay

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	store "github.com/postroom/postroom/internal/store/relay"
)

// hiding has inconsistent reads: its first statements do not return some rows, and its second statements do.
type hiding struct {
	database
	hidden map[string]bool
}

func (hiding) SingleSnapshot() bool { return false }

func (h hiding) Read(ctx context.Context, q store.ReadQuery,
	visit func(*store.Row) bool) (store.ReadInfo, error) {
	if !q.GapsOnly {
		q.Limit += len(h.hidden) // hidden rows do not count
	}
	return h.database.Read(ctx, q, func(row *store.Row) bool {
		return !q.GapsOnly && h.hidden[string(row.Payload)] || visit(row)
	})
}

// Hazard inconsistent-snapshot.
// The repair of an inconsistent read must find every earlier row of the key. Otherwise the later rows are
// dropped again and read next time.
func TestATornReadIsMendedWholeOrNotAtAll(t *testing.T) {
	for _, each := range []struct {
		name   string
		rows   [][2]string // key and value
		hidden []string
		limit  int
		want   []string
	}{
		{"both predecessors are there", [][2]string{{"k", "k1"}, {"k", "k2"}, {"k", "k3"}}, []string{"k1", "k2"}, 10,
			[]string{"k1", "k2", "k3"}},
		{"the second statement is cut between them", [][2]string{{"k", "k1"}, {"k", "k2"}, {"k", "k3"}},
			[]string{"k1", "k2"}, 1, []string{"k1"}},
		{"the second statement is used up by a row of another key", [][2]string{{"x", "x1"}, {"k", "k1"}, {"k", "k2"}},
			[]string{"x1", "k1"}, 1, nil},
		{"a row that precedes none stays a gap: it may miss one itself",
			[][2]string{{"x", "x1"}, {"k", "k1"}, {"k", "k2"}}, []string{"x1", "k1"}, 10, []string{"k1", "k2"}},
	} {
		t.Run(each.name, func(t *testing.T) {
			b := newBench(t, dbtest.Migrate(t, dbtest.SQLite(t)))
			hidden := make(map[string]bool)
			for _, v := range each.hidden {
				hidden[v] = true
			}
			b.naive = func(s database) database { return hiding{s, hidden} }
			for _, r := range each.rows {
				b.commit(r[0], r[1])
			}
			s := b.session()
			found, err := s.cursor.read(t.Context(), each.limit, 1<<20)
			require.NoError(t, err)
			var values []string
			for _, r := range found.records {
				values = append(values, string(r.Payload))
			}
			require.Equal(t, each.want, values)

			clear(hidden)
			for range 3 {
				more, err := s.cursor.read(t.Context(), 10, 1<<20)
				require.NoError(t, err)
				for _, r := range more.records {
					values = append(values, string(r.Payload))
				}
				require.True(t, s.deliver(t.Context(), s.isolation.holdBack(t.Context(), more.records)))
			}
			require.Len(t, values, 3, "what was dropped is read again")
		})
	}
}

// moving is a database that moves to another server, or fails, on command.
type moving struct {
	database
	mu     sync.Mutex
	server string // "": that of the claim
	fail   error
	asked  []store.ReadQuery
}

func (m *moving) set(server string, fail error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.server, m.fail, m.asked = server, fail, nil
}

func (m *moving) queries() []store.ReadQuery {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]store.ReadQuery(nil), m.asked...)
}

func (m *moving) Read(ctx context.Context, q store.ReadQuery,
	visit func(*store.Row) bool) (store.ReadInfo, error) {
	m.mu.Lock()
	m.asked = append(m.asked, q)
	server, fail := m.server, m.fail
	m.fail = nil
	m.mu.Unlock()
	if fail != nil {
		return store.ReadInfo{}, fail
	}
	info, err := m.database.Read(ctx, q, visit)
	if server != "" {
		info.Server = server
	}
	return info, err
}

// Claim is granted by the server that answers from then on.
func (m *moving) Claim(ctx context.Context, c store.Claim) (store.Lease, bool, error) {
	m.mu.Lock()
	m.server = ""
	m.mu.Unlock()
	return m.database.Claim(ctx, c)
}

// Hazard reused-ids: after an answer of another server, or an error, ids may have gone back.
func TestHazardAnotherServerOrAnErrorIsReadFromTheStart(t *testing.T) {
	for name, incident := range map[string]func(*moving){
		"another server": func(m *moving) { m.set("second", nil) },
		"an error":       func(m *moving) { m.set("", errors.New("connection reset")) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, dbtest.Migrate(t, dbtest.SQLite(t)))
			b.commit("k", "k1", "k2")
			db := &moving{}
			b.naive = func(s database) database { db.database = s; return db }
			stop := b.start()
			eventually(t, "the head has moved", func() bool {
				asked := db.queries()
				return b.empty() && len(asked) > 0 && asked[len(asked)-1].Head == 2
			})
			incident(db)
			eventually(t, "there are reads after it", func() bool { return len(db.queries()) > 2 })
			asked := db.queries()
			require.EqualValues(t, 2, asked[0].Head)
			require.Contains(t, []int64{asked[1].Head, asked[2].Head}, int64(0), "one may have been under way")
			require.NoError(t, stop())
		})
	}
}
