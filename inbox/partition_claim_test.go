package inbox_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/faultdb"
)

var holdOptions = map[string][]inbox.BatchOption{"with ids": nil, "without": {inbox.WithoutIDs()}}

// A batch begins before the held offset and ends beyond it, as after a seek: nobody else has the partition.
func TestABatchThatStraddlesTheHeldOffsetGoesOn(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		for name, opts := range holdOptions {
			for commit, fault := range map[string]faultdb.Fault{"": {}, "lost answer": faultdb.LoseAnswer(),
				"lost request": faultdb.LoseRequest()} {
				name := name + commit
				b.exec(t, "DELETE FROM effects")
				ib, calls := b.inbox(t, name, inbox.WithMaxAttempts(1)), 0
				h, err := ib.ClaimPartition(t.Context(), b.DB, "orders", 2)
				require.NoError(t, err)
				opts := append(opts, inbox.WithPartitionClaim(h))
				ms := orders(6)
				_, err = ib.ProcessBatch(t.Context(), b.DB, ms[:3], b.applyAll(&calls), opts...)
				require.NoError(t, err)
				outcomes, err := ib.ProcessBatch(t.Context(), b.faulty(t, faultAt(faultdb.Commit, 1, fault)), ms,
					b.applyAll(&calls), opts...)
				require.NoError(t, err, name)
				require.Equal(t, 3, count(outcomes[3:], inbox.Applied), name)
				require.Equal(t, 3, count(outcomes[:3], inbox.Duplicate), name)
				require.Equal(t, 6, b.effects(t), name)
				next, _ := h.Next()
				require.EqualValues(t, 106, next, name)

				// One that ends before it does not move it back.
				_, err = ib.ProcessBatch(t.Context(), b.DB, ms[:4], b.applyAll(&calls), opts...)
				require.NoError(t, err, name)
				require.Equal(t, 1,
					b.count(t, "SELECT count(*) FROM inbox_offsets WHERE consumer = ? AND next_offset = 106",
						name), name)

				// And one of another member's does not move it, whatever this one remembers.
				_, err = ib.ClaimPartition(t.Context(), b.DB, "orders", 2)
				require.NoError(t, err)
				_, err = ib.ProcessBatch(t.Context(), b.DB, orders(8), b.applyAll(&calls), opts...)
				require.ErrorIs(t, err, inbox.ErrFenced, name)
			}
		}
	})
}

// Hazard lost-inbox-answer.
// Where no ids tell that a COMMIT without an answer took effect, the offset does, before the handler runs again: it
// would meet its own effect.
func TestAnOffsetTellsThatALostCommitTookEffect(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		b.exec(t, "CREATE UNIQUE INDEX effects_once ON effects (message_id)")
		for n, size := range []int{1, 5} {
			ib, runs := b.inbox(t, "billing", inbox.WithMaxAttempts(1)), 0
			h, err := ib.ClaimPartition(t.Context(), b.DB, "orders", 2)
			require.NoError(t, err)
			ms := orders(6)[n : n+size]
			outcomes, err := ib.ProcessBatch(t.Context(), b.faulty(t, faultAt(faultdb.Commit, 1, faultdb.LoseAnswer())),
				ms, b.applyAll(&runs), inbox.WithPartitionClaim(h), inbox.WithoutIDs())
			require.NoError(t, err)
			require.Equal(t, size, count(outcomes, inbox.Applied))
			require.Equal(t, 1, runs)
			b.clean(t)
		}
		require.Equal(t, 6, b.effects(t))
	})
}

// Hazard attempt-as-done.
// Attempts are counted before it is known whether the message is to be run; what is done leaves no count behind.
func TestWhatWasDoneBeforeLeavesNoAttempt(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		ib, calls := b.inbox(t, "billing"), 0
		h, err := ib.ClaimPartition(t.Context(), b.DB, "orders", 2)
		require.NoError(t, err)
		ms := orders(6)
		_, err = ib.ProcessBatch(t.Context(), b.DB, ms, b.applyAll(&calls), inbox.WithPartitionClaim(h),
			inbox.WithoutIDs())
		require.NoError(t, err)
		outcomes, err := ib.ProcessBatch(t.Context(), b.DB, ms[:1], b.applyAll(&calls), inbox.WithPartitionClaim(h),
			inbox.WithoutIDs())
		require.NoError(t, err)
		require.Equal(t, []inbox.Outcome{inbox.Duplicate}, outcomes)
		b.clean(t)

		// The ids were pruned, and the offset is beyond: the transaction is rolled back, and its DELETE with it.
		_, err = ib.ProcessBatch(t.Context(), b.DB, ms[:1], b.applyAll(&calls), inbox.WithPartitionClaim(h))
		require.NoError(t, err)
		require.Equal(t, 6, b.effects(t))
		b.clean(t)

		_, err = ib.Process(t.Context(), b.DB, order("commits", "k"), func(ctx context.Context, tx *sql.Tx) error {
			return errors.Join(b.effect("commits")(ctx, tx), tx.Commit())
		})
		require.ErrorIs(t, err, inbox.ErrHandlerEndedTx)
		b.clean(t)
	})
}

// The offset says that a message is done whose id was pruned meanwhile: the handler runs, and nothing of it stays.
func TestAMessageBelowTheHeldOffsetIsADuplicate(t *testing.T) {
	for name, ids := range map[string][]string{"alone": {"a"}, "in a batch": {"a", "b"}} {
		t.Run(name, func(t *testing.T) {
			db := dbtest.Migrate(t, dbtest.SQLite(t))
			_, err := db.DB.ExecContext(t.Context(), "CREATE TABLE done (id text)")
			require.NoError(t, err)
			ib, err := inbox.New(db.Dialect, "billing")
			require.NoError(t, err)
			hold, err := ib.ClaimPartition(t.Context(), db.DB, "orders", 0)
			require.NoError(t, err)
			var ms []inbox.Message
			for n, id := range ids {
				ms = append(ms, inbox.Message{ID: id, Topic: "orders",
					Position: &inbox.Position{Topic: "orders", Offset: int64(n)}})
			}
			handle := func(ctx context.Context, tx *sql.Tx, ms []inbox.Message) error {
				for _, m := range ms {
					if _, err := tx.ExecContext(ctx, "INSERT INTO done VALUES (?)", m.ID); err != nil {
						return err
					}
				}
				return nil
			}
			for _, want := range []inbox.Outcome{inbox.Applied, inbox.Duplicate} {
				outcomes, err := ib.ProcessBatch(t.Context(), db.DB, ms, handle, inbox.WithPartitionClaim(hold))
				require.NoError(t, err)
				require.Len(t, outcomes, len(ids))
				for _, outcome := range outcomes {
					require.Equal(t, want, outcome)
				}
				_, err = db.DB.ExecContext(t.Context(), "DELETE FROM inbox_events")
				require.NoError(t, err)
			}
			var n int
			require.NoError(t, db.DB.QueryRowContext(t.Context(), "SELECT count(*) FROM done").Scan(&n))
			require.Equal(t, len(ids), n)
		})
	}
}

// Hazard recreated-topic.
// A member is paused before COMMIT, the topic is made anew, and another member takes the new one: between its claim,
// which drops the old topic's offset, and by its claim the first one goes on. It must not put the old topic's offset in
// again: the new one would be read from there.
func TestAClaimOfANewTopicEndsTheHoldsOfTheOldOne(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		for name, opts := range holdOptions {
			ib, calls := b.inbox(t, name), 0
			at := inbox.GroupPosition{Topic: "orders", Partition: 2, Group: "g", TopicID: "old", Applied: 100, Next: -1}
			require.NoError(t, ib.ClaimGroupPosition(t.Context(), b.DB, nil, at))
			paused, err := ib.ClaimPartition(t.Context(), b.DB, "orders", 2)
			require.NoError(t, err)
			opts := append(opts, inbox.WithPartitionClaim(paused))
			_, err = ib.ProcessBatch(t.Context(), b.DB, orders(3), b.applyAll(&calls), opts...)
			require.NoError(t, err)

			was, anew := at, inbox.GroupPosition{Topic: "orders", Partition: 2, Group: "g", TopicID: "new", Applied: 0,
				Next: -1}
			was.Next = 103
			require.NoError(t, ib.ClaimGroupPosition(t.Context(), b.DB, &was, anew))
			_, err = ib.ProcessBatch(t.Context(), b.DB, orders(6)[3:], b.applyAll(&calls), opts...)
			require.ErrorIs(t, err, inbox.ErrFenced, name)
			owner, err := ib.ClaimPartition(t.Context(), b.DB, "orders", 2)
			require.NoError(t, err)
			next, known := owner.Next()
			require.False(t, known, "%s: it would read on at %d", name, next)
		}
	})
}

// Hazard restored-consumer-database.
// The database is restored, or fails over to a copy that lags, under a member that holds the partition: what was lost
// must not be passed over. The next claim begins where the database is.
func TestADatabaseThatGoesBackEndsItsHolds(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		for name, opts := range holdOptions {
			ib, calls := b.inbox(t, name), 0
			h, err := ib.ClaimPartition(t.Context(), b.DB, "orders", 2)
			require.NoError(t, err)
			opts := append(opts, inbox.WithPartitionClaim(h))
			for _, back := range []string{"101", "NULL"} {
				_, err = ib.ProcessBatch(t.Context(), b.DB, orders(3), b.applyAll(&calls), opts...)
				require.NoError(t, err)
				b.exec(t, "UPDATE inbox_offsets SET next_offset = "+back+" WHERE consumer = ?", name)
				for range 2 { // it does not forget
					_, err = ib.ProcessBatch(t.Context(), b.DB, orders(6)[3:], b.applyAll(&calls), opts...)
					require.ErrorIs(t, err, inbox.ErrFenced, name)
					require.ErrorContains(t, err, "was 103, and is")
					require.ErrorIs(t, h.Skip(t.Context(), b.DB, 106), inbox.ErrFenced, name)
				}
				b.exec(t, "UPDATE inbox_offsets SET next_offset = 103 WHERE consumer = ?", name)
			}
			b.exec(t, "UPDATE inbox_offsets SET next_offset = 101 WHERE consumer = ?", name)
			h, err = ib.ClaimPartition(t.Context(), b.DB, "orders", 2)
			require.NoError(t, err)
			next, _ := h.Next()
			require.EqualValues(t, 101, next, name)
		}
	})
}
