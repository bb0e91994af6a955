package inbox_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/internal/dbtest"
)

// Hazard restored-consumer-database.
// What a late member notes is true, or not noted: an offset never falls, and those of another group or of another topic
// of the same name stay as they are.
func TestAGroupsPositionOnlyMovesForwardInItsTopic(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db dbtest.Database) {
		db = dbtest.Migrate(t, db)
		ib, err := inbox.New(db.Dialect, "billing")
		require.NoError(t, err)
		read := func() inbox.GroupPosition {
			rows, kept, err := ib.GroupPositions(t.Context(), db.DB, []string{"orders", "payments"})
			require.NoError(t, err)
			require.True(t, kept)
			require.Len(t, rows, 1)
			return rows[0]
		}
		at := func(group, topicID string, applied int64) inbox.GroupPosition {
			return inbox.GroupPosition{Topic: "orders", Partition: 3, Group: group, TopicID: topicID, Applied: applied,
				Next: -1}
		}
		raise := func(group, topicID string, applied int64, want bool) {
			t.Helper()
			all, err := ib.RaiseApplied(t.Context(), db.DB, group, []inbox.GroupPosition{at(group, topicID, applied)})
			require.NoError(t, err)
			require.Equal(t, want, all)
		}
		claim := func(from *inbox.GroupPosition, to inbox.GroupPosition) error {
			return ib.ClaimGroupPosition(t.Context(), db.DB, from, to)
		}
		raise("g", "one", 7, false) // nobody has claimed it
		none := at("g", "", -1)
		require.NoError(t, claim(nil, none))
		require.ErrorIs(t, claim(nil, at("other", "one", 0)), inbox.ErrGroupChanged,
			"two groups that begin at the same time")
		require.Equal(t, none, read())
		require.NoError(t, claim(&none, at("g", "one", 5)))
		require.ErrorIs(t, claim(&none, at("other", "one", 5)), inbox.ErrGroupChanged)

		raise("g", "one", 10, true)
		raise("g", "one", 8, true) // late
		require.Equal(t, at("g", "one", 10), read())
		raise("other", "one", 20, false)
		raise("g", "two", 20, false)
		require.Equal(t, at("g", "one", 10), read())
		was := at("g", "one", 10)
		require.NoError(t, claim(&was, at("g", "one", 9)))
		require.Equal(t, was, read(), "somebody may have raised it meanwhile")

		// In the same topic a position stays where the member keeps it, in another one it goes.
		_, err = db.DB.ExecContext(t.Context(), "UPDATE inbox_offsets SET next_offset = 12")
		require.NoError(t, err)
		was.Next = 12
		require.EqualValues(t, 12, read().Done())
		renamed := was
		renamed.Group = "new"
		require.NoError(t, claim(&was, renamed))
		require.Equal(t, renamed, read())
		require.NoError(t, claim(&renamed, at("new", "two", 0)))
		require.Equal(t, at("new", "two", 0), read())
		raise("g", "one", 30, false)

		// Many at once, of which some are not ours.
		all, err := ib.RaiseApplied(t.Context(), db.DB, "new", []inbox.GroupPosition{
			at("new", "two", 4), {Topic: "payments", Partition: 1, TopicID: "x", Applied: 2},
		})
		require.NoError(t, err)
		require.False(t, all)
		require.Equal(t, at("new", "two", 4), read())
	})
}

// A member may have any number of partitions, and statements have limits: SQLite's of 500 SELECTs in a UNION among
// them.
func TestAGroupsPositionsInAnyNumberOfPartitionsAreNoted(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db dbtest.Database) {
		db = dbtest.Migrate(t, db)
		ib, err := inbox.New(db.Dialect, "billing")
		require.NoError(t, err)
		const partitions = 1_203
		positions := make([]inbox.GroupPosition, partitions)
		tx, err := db.DB.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		for n := range positions {
			positions[n] = inbox.GroupPosition{Topic: "orders", Partition: int32(n), Group: "g", TopicID: "one",
				Applied: int64(n + 1), Next: -1}
			_, err := tx.ExecContext(t.Context(), fmt.Sprintf(
				"INSERT INTO inbox_offsets (consumer, kafka_topic, kafka_partition, epoch, kafka_group, topic_id)"+
					" VALUES ('billing', 'orders', %d, 0, 'g', 'one')", n))
			require.NoError(t, err)
		}
		require.NoError(t, tx.Commit())
		all, err := ib.RaiseApplied(t.Context(), db.DB, "g", positions)
		require.NoError(t, err)
		require.True(t, all)
		read, _, err := ib.GroupPositions(t.Context(), db.DB, []string{"orders"})
		require.NoError(t, err)
		require.ElementsMatch(t, positions, read)
	})
}
