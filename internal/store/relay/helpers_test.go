package relay_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	sqldb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/dbtest/storetest"
	"github.com/postroom/postroom/internal/store/relay"
)

func newRelay(t *testing.T, db dbtest.Database) *relay.Store {
	t.Helper()
	return newStore(t, db, relay.Options{})
}

// newArchiving returns a store that archives what it deletes.
func newArchiving(t *testing.T, db dbtest.Database) *relay.Store {
	t.Helper()
	return newStore(t, db, relay.Options{Archive: true})
}

func newStore(t *testing.T, db dbtest.Database, o relay.Options) *relay.Store {
	t.Helper()
	r, err := relay.New(db.DB, sqldb.Names{Dialect: db.Dialect}, o)
	require.NoError(t, err)
	return r
}

// These helpers are shared with the tests of other stores. Here they have short names.
var (
	exec, begin              = dbtest.Exec, dbtest.Begin
	insertKeyed, eventsAbove = storetest.Insert, storetest.EventsAbove
	claim, mustClaim, expire = storetest.Claim, storetest.MustClaim, storetest.Expire
	parkAll, delivered       = storetest.Park, storetest.Delivered
)

type keyed = storetest.Keyed
