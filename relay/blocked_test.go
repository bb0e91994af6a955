package relay

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	sqldb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	store "github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/relay/internal/blocked"
)

// blocks checks that the session's set has these keys of topic t, and no others.
func (b *bench) blocks(s *session, keys ...string) {
	b.t.Helper()
	require.True(b.t, s.quarantine.loaded)
	require.Equal(b.t, len(keys), s.term.blocked.Len())
	for _, key := range keys {
		require.True(b.t, s.term.blocked.May(s.term.blocked.Hash("t", []byte(key))), key)
	}
}

// looking counts the queries about blocked keys.
type looking struct {
	database
	parts, looks int
	fail         func(part int) error
}

func (l *looking) ScanBlockedKeys(ctx context.Context, after store.BlockedPart,
	visit func(string, []byte)) (store.BlockedPart, bool, error) {
	if l.parts++; l.fail != nil {
		if err := l.fail(l.parts); err != nil {
			return after, false, err
		}
	}
	return l.database.ScanBlockedKeys(ctx, after, visit)
}

func (l *looking) FindBlockedKeys(ctx context.Context, keys []sqldb.EventKey) ([]sqldb.EventKey, error) {
	l.looks += len(keys)
	return l.database.FindBlockedKeys(ctx, keys)
}

// counted makes a session over a store that counts.
func (b *bench) counted() (*session, *looking) {
	l := &looking{}
	b.naive = func(s database) database { l.database = s; return l }
	return b.session(), l
}

// The keys are loaded once for a lease, not once for each error of the database or outage of the sink,
// because with two million keys it takes seconds.
func TestTheBlockedKeysAreLoadedOnceWhileTheLeaseLasts(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		b.park("k")
		s, l := b.counted()
		l.fail = func(part int) error {
			if part == 2 {
				return errors.New("connection reset")
			}
			return nil
		}
		require.Error(t, s.quarantine.load(t.Context()))
		require.NoError(t, s.quarantine.load(t.Context()))
		require.Equal(t, 3, l.parts, "a part that was walked is not walked again")
		b.blocks(s, "k")

		s.readAgain() // after an error
		require.NoError(t, s.quarantine.load(t.Context()))
		s = newSession(s.relay, s.term) // after an outage
		require.NoError(t, s.quarantine.load(t.Context()))
		require.Equal(t, 3, l.parts)
		b.blocks(s, "k")
	})
}

// Hazard lagging-standby.
// After a failover to a standby that lags, rows that were delivered since are parked again. Their keys are
// not in the set, so the lease is claimed again there. The test parks k without telling the session.
func TestTheBlockedKeysAreLoadedAnewUnderAnotherClaim(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		s, l := b.counted()
		require.NoError(t, s.quarantine.load(t.Context()))
		b.park("k")
		s = newSession(s.relay, s.term)
		require.NoError(t, s.quarantine.load(t.Context()))
		b.blocks(s)
		s.relay.unsureOwner = s.term.lease.Owner
		k, err := s.relay.claim(t.Context())
		require.NoError(t, err)
		s = newSession(s.relay, k)
		require.NoError(t, s.quarantine.load(t.Context()))
		b.blocks(s, "k")
		require.Greater(t, l.parts, 1)
	})
}

// park puts an event of a key of topic t into outbox_parked.
func (b *bench) park(key string) {
	b.t.Helper()
	b.commit(key, key)
	b.exec(`INSERT INTO outbox_parked (id, event_id, topic, event_key, event_type, payload, headers, created_at)
SELECT id, event_id, topic, event_key, event_type, payload, headers, created_at
		FROM outbox_events WHERE event_key = '` + key + `'`)
	b.exec("DELETE FROM outbox_events WHERE event_key = '" + key + "'")
}

// Hazard unblock-race.
// A hash in the set does not block a key: a key that has the same hash as a blocked one is delivered. If the
// set is full, every key is looked up.
func TestOnlyALookIntoTheTableBlocksAKey(t *testing.T) {
	t.Parallel()
	for name, full := range map[string]bool{"a shared hash": false, "more keys than are kept": true} {
		t.Run(name, func(t *testing.T) {
			dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
				b := newBench(t, db)
				b.park("k")
				b.park("j")
				s, l := b.counted()
				s.quarantine.loaded = false
				if full {
					s.term.blocked.Keys = blocked.New(1)
				}
				require.NoError(t, s.quarantine.load(t.Context()))
				require.Equal(t, full, s.term.blocked.Full())
				if !full {
					s.term.blocked.Add(s.term.blocked.Hash("t", []byte("free")))
				}
				records := func(keys ...string) (all []*Record) {
					for _, key := range keys {
						all = append(all, &Record{Topic: "t", Key: []byte(key)})
					}
					return append(all, &Record{Topic: "t"})
				}
				blocked, err := s.quarantine.blockedAmong(t.Context(), records("free", "k", "free", "other", "k"))
				require.NoError(t, err)
				require.Equal(t, map[string]bool{orderKey("t", []byte("k")): true}, blocked)
				require.Equal(t, map[bool]int{false: 2, true: 3}[full], l.looks)
			})
		})
	}
}
