package relay_test

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/store/relay"
)

func held(t *testing.T, r *relay.Store, l relay.Lease) bool {
	t.Helper()
	ok, err := r.Held(t.Context(), l)
	require.NoError(t, err)
	return ok
}

func TestALeaseIsClaimedRenewedAndReleased(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		first := mustClaim(t, r)
		require.EqualValues(t, 1, first.Epoch)
		require.NotZero(t, first.SourceID)
		require.True(t, held(t, r, first))
		require.NoError(t, r.Renew(t.Context(), first, time.Hour))
		_, claimed := claim(t, r, time.Hour)
		require.False(t, claimed, "held by another")

		require.NoError(t, r.HandOver(t.Context(), first, uuid.Nil))
		require.False(t, held(t, r, first))
		require.ErrorIs(t, r.Renew(t.Context(), first, time.Hour), relay.ErrLeaseLost)

		second := mustClaim(t, r)
		require.EqualValues(t, 2, second.Epoch)
		require.Equal(t, first.SourceID, second.SourceID, "the source keeps its identity")
		require.NoError(t, r.HandOver(t.Context(), first, uuid.Nil), "somebody else's lease is left alone")
		require.True(t, held(t, r, second))
	})
}

func TestAnExpiredLeaseGoesToTheNextAndARenewalInTimeKeepsIt(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		first := mustClaim(t, r)
		expire(t, db)
		require.True(t, held(t, r, first), "expired, and nobody has taken it")
		require.NoError(t, r.Renew(t.Context(), first, time.Hour))
		_, claimed := claim(t, r, time.Hour)
		require.False(t, claimed)

		expire(t, db)
		second := mustClaim(t, r)
		require.False(t, held(t, r, first))
		require.ErrorIs(t, r.Renew(t.Context(), first, time.Hour), relay.ErrLeaseLost)
		require.True(t, held(t, r, second))
	})
}

func TestTheEpochFencesAnOwnerOfTheSameName(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		l := mustClaim(t, r)
		ids := insert(t, db, 3)
		exec(t, db.DB, "UPDATE outbox_leases SET epoch = epoch + 1")
		require.False(t, held(t, r, l))
		require.ErrorIs(t, r.Renew(t.Context(), l, time.Hour), relay.ErrLeaseLost)
		events := eventsAbove(t, r, 0)
		n, err := r.Delete(t.Context(), l, relay.Deletion{
			Runs: []relay.Run{{Lo: ids[0], Last: events[1]}}, Events: events[2:],
		})
		require.NoError(t, err)
		require.Zero(t, n)
		require.Equal(t, 3, countRows(t, db))
	})
}

func TestOfManyClaimsAtOnceOneSucceeds(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		for range 5 {
			var won atomic.Int64
			var all sync.WaitGroup
			winner := make(chan relay.Lease, 8)
			for range 8 {
				all.Go(func() {
					l, claimed, err := r.Claim(
						context.Background(), relay.Claim{Owner: uuid.New(), Mode: "at-least-once", TTL: time.Hour},
					)
					if err == nil && claimed {
						won.Add(1)
						winner <- l
					}
				})
			}
			all.Wait()
			require.EqualValues(t, 1, won.Load())
			require.NoError(t, r.HandOver(t.Context(), <-winner, uuid.Nil))
		}
	})
}

func TestAFencedChangeNeedsTheLease(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		l := mustClaim(t, r)
		note := func(tx *sql.Tx) error {
			_, err := tx.Exec("INSERT INTO outbox_events (topic) VALUES ('fenced')")
			return err
		}
		require.NoError(t, r.Fenced(t.Context(), l, note))
		require.Equal(t, 1, countRows(t, db))

		failure := errors.New("no")
		require.ErrorIs(
			t, r.Fenced(t.Context(), l, func(tx *sql.Tx) error { return errors.Join(note(tx), failure) }), failure,
		)
		require.Equal(t, 1, countRows(t, db), "rolled back")

		exec(t, db.DB, "UPDATE outbox_leases SET epoch = epoch + 1")
		require.ErrorIs(t, r.Fenced(t.Context(), l, note), relay.ErrLeaseLost)
		require.Equal(t, 1, countRows(t, db))
	})
}

func TestTheReasonOfAHaltStandsUntilTheNextClaim(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		halted := func() string {
			s, err := sourceOf(t, db).State(t.Context())
			require.NoError(t, err)
			return s.Halted
		}
		l := mustClaim(t, r)
		const reason = `the sink rejects row 7: "quoted" 'it' \ grüße`
		require.NoError(t, r.Note(t.Context(), l, relay.Halted(reason)))
		require.Equal(t, reason, halted())
		require.NoError(t, r.HandOver(t.Context(), l, uuid.Nil))
		require.Equal(t, reason, halted())
		mustClaim(t, r)
		require.Empty(t, halted())
		require.ErrorIs(t, r.Note(t.Context(), l, relay.Halted("late")), relay.ErrLeaseLost)
		require.Empty(t, halted())
	})
}

func TestTheFirstNameStays(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		names := make(chan string, 8)
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				src, err := r.Inspect(context.Background(), "source"+string(rune('a'+i)))
				if err != nil {
					src.Name = err.Error()
				}
				names <- src.Name
			})
		}
		all.Wait()
		close(names)
		first := <-names
		for name := range names {
			require.Equal(t, first, name)
		}
		src, err := r.Inspect(t.Context(), "another")
		require.NoError(t, err)
		require.Equal(t, first, src.Name)
		require.False(t, src.Standby)
		require.Empty(t, src.Unordered)
	})
}

func TestTheModeChangesOnlyWhenToldAndThePositionIsKept(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		first := mustClaim(t, r)
		require.Equal(t, "at-least-once", first.Mode, "the first claim's")
		require.Nil(t, first.Position)
		require.NoError(
			t, r.Note(t.Context(), first, relay.Position([]byte(`{"topic": "m'", "offset": 9007199254740993}`))),
		)
		require.NoError(t, r.HandOver(t.Context(), first, uuid.Nil))

		other := relay.Claim{Owner: uuid.New(), Mode: "exactly-once", TTL: time.Hour}
		second, claimed, err := r.Claim(t.Context(), other)
		require.NoError(t, err)
		require.True(t, claimed)
		require.Equal(t, "at-least-once", second.Mode, "a claim in another mode is not yet a change of mode")
		require.JSONEq(t, `{"topic": "m'", "offset": 9007199254740993}`, string(second.Position))
		require.NoError(t, r.Note(t.Context(), second, relay.Mode("exactly-once")))
		require.ErrorIs(t, r.Note(t.Context(), first, relay.Mode("at-least-once")), relay.ErrLeaseLost)
		require.ErrorIs(t, r.Note(t.Context(), first, relay.Position([]byte(`{}`))), relay.ErrLeaseLost)
		require.NoError(t, r.HandOver(t.Context(), second, uuid.Nil))

		third := mustClaim(t, r)
		require.Equal(t, "exactly-once", third.Mode)
		require.Contains(t, string(third.Position), "9007199254740993", "digits are kept")
	})
}
