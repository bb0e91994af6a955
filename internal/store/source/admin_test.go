package source_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/dbtest/storetest"
	"github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/internal/store/source"
)

func describe(t *testing.T, db dbtest.Database) source.Description {
	t.Helper()
	d, err := sourceOf(t, db).Describe(t.Context())
	require.NoError(t, err)
	return d
}

func TestASourceIsRenamedWhileNobodyOwnsIt(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := storetest.Relay(t, db)
		rename := func(from, to string) error { return sourceOf(t, db).Rename(t.Context(), from, to) }
		require.ErrorIs(t, rename("default", "orders"), source.ErrNoName)
		_, err := r.Inspect(t.Context(), "shop")
		require.NoError(t, err)

		l, claimed := storetest.Claim(t, r, time.Minute)
		require.True(t, claimed)
		storetest.Heartbeat(t, r, relay.Member{ID: uuid.New(), Host: "host-a", Owned: 1})
		gone := uuid.New()
		storetest.Heartbeat(t, r, relay.Member{ID: gone, Host: "host-b"})
		storetest.SetSeen(t, db, gone, "-120")
		err = rename("shop", "orders")
		var leased *source.LeasedError
		require.ErrorAs(t, err, &leased)
		require.Equal(t, l.Owner.String(), leased.Owner)
		require.Equal(t, []string{"host-a"}, leased.Hosts)
		require.Greater(t, leased.Left, time.Duration(0))
		require.LessOrEqual(t, leased.Left, time.Minute)
		require.ErrorContains(t, err, "stop all its relays")
		require.Equal(t, "shop", describe(t, db).Name, "nothing was changed")

		require.NoError(t, r.HandOver(t.Context(), l, uuid.Nil))
		err = rename("default", "orders")
		require.ErrorIs(t, err, source.ErrName)
		require.ErrorContains(t, err, `belongs to source "shop", not "default"`)
		for _, bad := range []string{"", " x", "a\nb", strings.Repeat("é", 250)} {
			require.Error(t, rename("shop", bad), bad)
		}
		before := describe(t, db)
		require.NoError(t, rename("shop", "Bestellungen für 東京"))
		after := describe(t, db)
		require.Equal(t, "Bestellungen für 東京", after.Name)
		require.Equal(t, before.SourceID, after.SourceID)

		storetest.MustClaim(t, r)
		storetest.Expire(t, db)
		require.NoError(t, rename("Bestellungen für 東京", "shop"), "an expired lease is nobody's")
	})
}

func TestANewIdentityForgetsWhatTheSinkKnewOfTheOldOne(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := storetest.Relay(t, db)
		_, err := r.Inspect(t.Context(), "shop")
		require.NoError(t, err)
		first := storetest.MustClaim(t, r)
		require.NoError(t, r.Note(t.Context(), first, relay.Position([]byte(`{"offset": 7}`))))
		require.NoError(t, r.Note(t.Context(), first, relay.Mode("exactly-once")))
		renew := func(name string) (uuid.UUID, uuid.UUID, error) {
			return sourceOf(t, db).NewIdentity(t.Context(), name)
		}
		_, _, err = renew("shop")
		var leased *source.LeasedError
		require.ErrorAs(t, err, &leased)
		require.NoError(t, r.Note(t.Context(), first, relay.Halted("two databases with one identity")))
		require.NoError(t, r.HandOver(t.Context(), first, uuid.Nil))
		_, _, err = renew("default")
		require.ErrorIs(t, err, source.ErrName)

		before, after, err := renew("shop")
		require.NoError(t, err)
		require.Equal(t, first.SourceID, before)
		require.NotEqual(t, before, after)
		second := storetest.MustClaim(t, r)
		require.Equal(t, after, second.SourceID)
		require.Nil(t, second.Position)
		require.Equal(t, "exactly-once", second.Mode, "the mode is the source's, not the identity's")
		require.Greater(t, second.Epoch, first.Epoch)
	})
}

func TestAChangeOfASourceAndAClaimExcludeEachOther(t *testing.T) {
	concurrently := map[string]func(testing.TB) dbtest.Database{
		"postgresql": dbtest.PostgreSQL, "mariadb": dbtest.MariaDB, "sqlite": dbtest.SQLite,
	}
	for name, server := range concurrently {
		t.Run(name, func(t *testing.T) {
			db := dbtest.Migrate(t, server(t))
			r := storetest.Relay(t, db)
			_, err := r.Inspect(t.Context(), "shop")
			require.NoError(t, err)
			for range 20 {
				claimed := make(chan relay.Lease, 1)
				go func() {
					l, _, err := r.Claim(
						t.Context(), relay.Claim{Owner: uuid.New(), Mode: "at-least-once", TTL: time.Hour},
					)
					if err != nil {
						l = relay.Lease{}
					}
					claimed <- l
				}()
				_, after, err := sourceOf(t, db).NewIdentity(t.Context(), "shop")
				l := <-claimed
				require.NotZero(t, l.Epoch)
				if err == nil {
					require.Equal(t, after, l.SourceID, "the change came first: a claim has the new identity")
				}
				require.Equal(
					t, describe(t, db).SourceID, l.SourceID.String(), "an owner under an identity that is gone",
				)
				require.NoError(t, r.HandOver(t.Context(), l, uuid.Nil))
			}
		})
	}
}

func TestADescriptionDoesWithoutTheTableOfRelays(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := storetest.Relay(t, db)
		member := relay.Member{ID: uuid.New(), Host: "a", Owned: 2}
		storetest.Heartbeat(t, r, member)
		d := describe(t, db)
		require.Len(t, d.Relays, 1)
		require.Equal(t, member.ID, d.Relays[0].ID)
		dbtest.Exec(t, db.DB, "DROP TABLE outbox_relays")
		require.Empty(t, describe(t, db).Relays)
	})
}
