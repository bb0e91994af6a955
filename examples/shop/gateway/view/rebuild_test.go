package view_test

import (
	"context"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/examples/shop/gateway/cache"
	"github.com/postroom/postroom/examples/shop/gateway/view"
	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/examples/shop/kit/kittest"
)

// requireGenerations compares the states of generations 1, 2, …
func requireGenerations(t *testing.T, m *view.Model, states ...string) {
	t.Helper()
	all, err := m.Generations(t.Context())
	require.NoError(t, err)
	var want []view.Generation
	for n, state := range states {
		want = append(want, view.Generation{Number: int64(n + 1), State: state})
	}
	require.Equal(t, want, all)
}

// The two generations come to the same number of changes with different contents. The old one has counted a change that
// the topic does not have, as after a version of the program that counted in another way.
func TestASwitchLeavesNoAnswerOfTheOldGenerationInTheCache(t *testing.T) {
	kafka, db := kittest.Kafka(t), kittest.Open(t, kittest.SQLite(t))
	redis := cache.Connect(miniredis.RunT(t).Addr())
	t.Cleanup(func() { require.NoError(t, redis.Close()) })
	answers, err := cache.New(cache.Config{Redis: redis, Settle: -1})
	require.NoError(t, err)
	m := start(t, db, kafka, answers.Raise)
	place(t, kafka, "order-1", "ada")
	waitForVersions(t, m, "order-1", made("order-1", 2, "ada", 0))
	_, err = db.SQL.Exec("UPDATE order_view SET revision = 3 WHERE order_id = 'order-1'")
	require.NoError(t, err)

	read := func() string {
		value, err := answers.Get(t.Context(), "order-1", func(ctx context.Context) (cache.Value, error) {
			o, versions, err := m.Order(ctx, "order-1")
			return cache.Value{Body: []byte(o.Note), Versions: versions}, err
		})
		require.NoError(t, err)
		return string(value.Body)
	}
	require.Empty(t, read())
	_, err = m.Rebuild(t.Context())
	require.NoError(t, err)
	waitForVersions(t, m, "order-1", madeIn(2, "order-1", 2, "ada", 0)) // the switch
	change(t, kafka, "order-1", "ada", 2)
	waitForVersions(t, m, "order-1", madeIn(2, "order-1", 3, "ada", 0)) // the number of the cached answer
	require.Equal(t, "note 2", read())
}

func TestAGenerationThatHasParkedAMessageDoesNotBecomeLive(t *testing.T) {
	kittest.Each(t, func(t *testing.T, db *kit.DB) {
		kafka := kittest.Kafka(t)
		m, err := view.New(t.Context(), db, kafka, noCache, kittest.Quiet())
		require.NoError(t, err)
		_, err = m.Rebuild(t.Context())
		require.NoError(t, err)
		_, err = m.Rebuild(t.Context())
		require.ErrorIs(t, err, view.ErrBuilding)
		park := func(generation string) {
			_, err := db.SQL.Exec("INSERT INTO inbox_parked (consumer, message_id, topic, payload) VALUES ('" +
				kafka.Prefix + "order-view-" + generation + "', 'm', 'orders', 'x')")
			require.NoError(t, err)
		}
		park("2")
		done, err := m.Switch(t.Context(), 2)
		require.ErrorContains(t, err, "has parked 1 messages that generation 1 has handled")
		require.False(t, done)
		requireGenerations(t, m, "live", "building")

		park("1") // the live one cannot handle it either
		done, err = m.Switch(t.Context(), 2)
		require.NoError(t, err)
		require.True(t, done)
		requireGenerations(t, m, "retired", "live")

		require.NoError(t, m.DeleteRetired(t.Context()))
		var parked int
		require.NoError(t, db.SQL.QueryRow("SELECT COUNT(*) FROM inbox_parked").Scan(&parked))
		require.Equal(t, 1, parked, "the parked message of generation 1 has names in it")
		_, err = view.New(t.Context(), db, kafka, noCache, kittest.Quiet())
		require.NoError(t, err)
		requireGenerations(t, m, "deleted", "live")
	})
}
