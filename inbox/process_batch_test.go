package inbox_test

import (
	"context"
	"database/sql"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/internal/faultdb"
)

func orders(n int) []inbox.Message {
	ms := make([]inbox.Message, n)
	for i := range ms {
		ms[i] = order(fmt.Sprintf("%03d", i), fmt.Sprintf("k%d", i%7))
		ms[i].Position = &inbox.Position{Topic: "orders", Partition: 2, Offset: int64(100 + i)}
	}
	return ms
}

// applyAll is a batch handler that leaves the ids and fails on some.
func (b bench) applyAll(calls *int, poisoned ...string) inbox.BatchHandler {
	return func(ctx context.Context, tx *sql.Tx, ms []inbox.Message) error {
		*calls++
		for _, m := range ms {
			if slices.Contains(poisoned, m.ID) {
				return errPoison
			}
			if err := b.applying(ctx, tx, m); err != nil {
				return err
			}
		}
		return nil
	}
}

func count(outcomes []inbox.Outcome, o inbox.Outcome) (n int) {
	for _, is := range outcomes {
		if is == o {
			n++
		}
	}
	return n
}

func TestABatchIsOneTransaction(t *testing.T) {
	eachLayout(t, func(t *testing.T, b bench) {
		ib, calls := b.inbox(t, "billing"), 0
		ms := orders(60)
		require.True(t, b.accept(t, ib, ms[5]))
		outcomes, err := ib.ProcessBatch(t.Context(), b.DB, append(slices.Clone(ms), ms[0]), b.applyAll(&calls))
		require.NoError(t, err)
		require.Equal(t, 1, calls)
		require.Equal(t, 59, count(outcomes, inbox.Applied))
		require.Equal(t, inbox.Duplicate, outcomes[5])
		require.Equal(t, inbox.Duplicate, outcomes[60], "the copy in the batch (hazard copy-in-batch)")
		require.Equal(t, 59, b.effects(t))
		b.clean(t)
		outcomes, err = ib.ProcessBatch(t.Context(), b.DB, ms, b.applyAll(&calls))
		require.NoError(t, err)
		require.Equal(t, 60, count(outcomes, inbox.Duplicate))
		require.Equal(t, 1, calls)
	})
}

func TestAFailingBatchIsHalvedDownToTheMessageAtFault(t *testing.T) {
	eachLayout(t, func(t *testing.T, b bench) {
		ib, calls := b.inbox(t, "billing", inbox.WithMaxAttempts(2)), 0
		ms := orders(64)
		ms[9].Err = errPoison
		outcomes, err := ib.ProcessBatch(t.Context(), b.DB, ms, b.applyAll(&calls, "021"))
		require.NoError(t, err)
		// 021 has key k0, as 028, 035, …; 009 has k2, as 016, 023, …: they wait behind it.
		for i, o := range outcomes {
			want := inbox.Applied
			if i >= 21 && i%7 == 0 || i >= 9 && i%7 == 2 {
				want = inbox.Parked
			}
			require.Equal(t, want, o, "message %d", i)
		}
		require.Equal(t, count(outcomes, inbox.Applied), b.effects(t))
		require.Less(t, calls, 20, "by halves")
		state, attempts := b.state(t, "021")
		require.Equal(t, "failed", state)
		require.Equal(t, 2, attempts)
		require.Equal(t, 0, b.count(t, "SELECT count(*) FROM inbox_attempts"))

		b.exec(t, "UPDATE inbox_parked SET state = 'retry' WHERE state = 'failed'")
		_, err = ib.Replay(t.Context(), b.DB, b.applying)
		require.NoError(t, err)
		require.Equal(t, 64, b.effects(t))
		b.clean(t)
	})
}

// Hazard killed-batch: a batch that does not come back is one attempt of none of
// its messages; they run one by one, and the one that kills is found.
func TestHazardABatchThatKillsTheProcessIsRunOneByOne(t *testing.T) {
	eachLayout(t, func(t *testing.T, b bench) {
		ib, calls := b.inbox(t, "billing", inbox.WithMaxAttempts(2)), 0
		ms := orders(20)
		die := func(ctx context.Context, tx *sql.Tx, ms []inbox.Message) error {
			for _, m := range ms {
				if m.ID == "013" {
					runtime.Goexit()
				}
			}
			return b.applyAll(&calls)(ctx, tx, ms)
		}
		deaths := 0
		for {
			done := false
			died := make(chan struct{})
			go func() {
				defer close(died)
				_, err := ib.ProcessBatch(context.WithoutCancel(t.Context()), b.DB, ms, die)
				done = err == nil
			}()
			<-died
			if done {
				break
			}
			deaths++
		}
		require.Equal(t, 3, deaths, "the batch once, the message twice")
		require.Equal(t, 19, b.effects(t)+b.count(t, "SELECT count(*) FROM inbox_parked WHERE state = 'blocked'"))
		require.Equal(t, 1, b.count(t, "SELECT count(*) FROM inbox_parked WHERE state = 'failed'"))
		require.Equal(t, 0, b.count(t, "SELECT count(*) FROM inbox_attempts"))
	})
}

// Hazard killed-batch.
// After a crash the broker delivers again what was done but not committed to it, before
// what killed the process: those duplicates are not the batch that was not finished.
func TestHazardDuplicatesBeforeTheBatchThatKillsDoNotHideIt(t *testing.T) {
	b := onSQLite(t)
	ib, calls := b.inbox(t, "billing", inbox.WithMaxAttempts(2)), 0
	ms := orders(30)
	deaths := 0
	for done := false; !done; deaths++ {
		require.LessOrEqual(t, deaths, 3, "the one that kills is never found")
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for _, batch := range [][]inbox.Message{ms[:15], ms[15:]} {
				_, err := ib.ProcessBatch(context.WithoutCancel(t.Context()), b.DB, batch,
					func(ctx context.Context, tx *sql.Tx, ms []inbox.Message) error {
						if slices.ContainsFunc(ms, func(m inbox.Message) bool { return m.ID == "020" }) {
							runtime.Goexit()
						}
						return b.applyAll(&calls)(ctx, tx, ms)
					})
				require.NoError(t, err)
			}
			done = true
		}()
		<-ended
	}
	require.Equal(t, 28, b.effects(t), "027 waits behind it")
	require.Equal(t, 0, b.count(t, "SELECT count(*) FROM inbox_attempts"))
}

// A batch that was not finished in one lane is no reason to suspect another's.
func TestLanesOfAPartitionHaveUnfinishedBatchesOfTheirOwn(t *testing.T) {
	b := onSQLite(t)
	for _, c := range []struct {
		name         string
		first, other []inbox.BatchOption
		calls        int
	}{
		{"two lanes", []inbox.BatchOption{inbox.WithStream("orders/2 lane 1")},
			[]inbox.BatchOption{inbox.WithStream("orders/2 lane 2")}, 1},
		{"names that no column takes", []inbox.BatchOption{inbox.WithStream("\xff" + strings.Repeat("x", 300))},
			[]inbox.BatchOption{inbox.WithStream("\xfe")}, 1},
		{"the same lane", []inbox.BatchOption{inbox.WithStream("both")}, []inbox.BatchOption{inbox.WithStream("both")},
			10},
		{"the partition itself", nil, nil, 10},
	} {
		ib, calls := b.inbox(t, c.name), 0
		died := make(chan struct{})
		go func() {
			defer close(died)
			_, _ = ib.ProcessBatch(context.WithoutCancel(t.Context()), b.DB, orders(20)[:10],
				func(context.Context, *sql.Tx, []inbox.Message) error { runtime.Goexit(); return nil }, c.first...)
		}()
		<-died
		_, err := ib.ProcessBatch(t.Context(), b.DB, orders(20)[10:], b.applyAll(&calls), c.other...)
		require.NoError(t, err)
		require.Equal(t, c.calls, calls, c.name)
	}
}

// Hazard group-restarts: the epoch is the database's, so a member of an earlier time is out for
// good.
func TestHazardAMemberThatLostThePartitionCommitsNothing(t *testing.T) {
	eachLayout(t, func(t *testing.T, b bench) {
		ib, calls := b.inbox(t, "billing"), 0
		for _, opts := range [][]inbox.BatchOption{nil, {inbox.WithoutIDs()}} {
			b.exec(t, "DELETE FROM inbox_offsets")
			b.exec(t, "DELETE FROM inbox_events")
			b.exec(t, "DELETE FROM effects")
			zombie, err := ib.ClaimPartition(t.Context(), b.DB, "orders", 2)
			require.NoError(t, err)
			_, ok := zombie.Next()
			require.False(t, ok)
			ms := orders(30)
			_, err = ib.ProcessBatch(t.Context(), b.DB, ms[:10], b.applyAll(&calls),
				append(opts, inbox.WithPartitionClaim(zombie))...)
			require.NoError(t, err)
			next, _ := zombie.Next()
			require.EqualValues(t, 110, next)

			owner, err := ib.ClaimPartition(t.Context(), b.DB, "orders", 2)
			require.NoError(t, err)
			require.Equal(t, zombie.Epoch()+1, owner.Epoch())
			next, ok = owner.Next()
			require.True(t, ok)
			require.EqualValues(t, 110, next)
			_, err = ib.ProcessBatch(t.Context(), b.DB, ms[10:20], b.applyAll(&calls),
				append(opts, inbox.WithPartitionClaim(zombie))...)
			require.ErrorIs(t, err, inbox.ErrFenced)
			_, err = ib.ProcessBatch(t.Context(), b.DB, ms[10:11], b.applyAll(&calls),
				append(opts, inbox.WithPartitionClaim(zombie))...)
			require.ErrorIs(t, err, inbox.ErrFenced, "a message alone too")
			require.Equal(t, 10, b.effects(t))

			outcomes, err := ib.ProcessBatch(t.Context(), b.DB, ms[10:], b.applyAll(&calls, "017"),
				append(opts, inbox.WithPartitionClaim(owner))...)
			require.NoError(t, err)
			require.Equal(t, 2, count(outcomes, inbox.Parked), "017, and 024 behind it")
			next, _ = owner.Next()
			require.EqualValues(t, 130, next)
			outcomes, err = ib.ProcessBatch(t.Context(), b.DB, ms, b.applyAll(&calls),
				append(opts, inbox.WithPartitionClaim(owner))...)
			require.NoError(t, err)
			require.Equal(t, 30, count(outcomes, inbox.Duplicate))
			require.Equal(t, 28, b.effects(t))
			ids := 30
			if len(opts) > 0 {
				ids = 0
			}
			require.Equal(t, ids, b.count(t, "SELECT count(*) FROM inbox_events"))
			b.exec(t, "DELETE FROM inbox_parked")
			b.exec(t, "DELETE FROM inbox_blocked")
		}
	})
}

// Hazard lost-inbox-answer.
// A connection lost anywhere costs no attempt, and no effect is lost or doubled.
func TestAConnectionLostAtAnyPointOfABatchLeavesOneEffect(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		ib, n := b.inbox(t, "billing", inbox.WithMaxAttempts(1)), 0
		for _, at := range []string{"inbox_attempts", faultdb.Begin, "inbox_events", "effects", "inbox_offsets",
			faultdb.Commit} {
			for _, fault := range []faultdb.Fault{faultdb.LoseRequest(), faultdb.LoseAnswer()} {
				for _, opts := range [][]inbox.BatchOption{nil, {inbox.WithoutIDs()}} {
					n++
					b.exec(t, "DELETE FROM effects")
					hold, err := ib.ClaimPartition(t.Context(), b.DB, "orders", int32(n))
					require.NoError(t, err)
					ms, calls := orders(5), 0
					for i := range ms {
						ms[i].ID = fmt.Sprint(n, "-", i)
						ms[i].Position = &inbox.Position{Topic: "orders", Partition: int32(n), Offset: int64(i)}
					}
					db := b.faulty(t, faultAt(at, 1, fault))
					outcomes, err := ib.ProcessBatch(t.Context(), db, ms, b.applyAll(&calls),
						append(opts, inbox.WithPartitionClaim(hold))...)
					require.NoError(t, err, at)
					require.Equal(t, 5, b.effects(t), at)
					require.Zero(t, count(outcomes, inbox.Parked)+count(outcomes, inbox.Failed), at)
					b.clean(t)
				}
			}
		}
	})
}

func TestABatchThatCannotBeRunIsRefused(t *testing.T) {
	b := onSQLite(t)
	ib, calls := b.inbox(t, "billing"), 0
	h := b.applyAll(&calls)
	_, err := ib.ProcessBatch(t.Context(), b.DB, []inbox.Message{{ID: "1"}}, h)
	require.ErrorContains(t, err, "has no Topic")
	_, err = ib.ProcessBatch(t.Context(), b.DB, orders(2), h, inbox.WithoutIDs())
	require.ErrorContains(t, err, "WithoutIDs without WithPartitionClaim")
	hold, err := ib.ClaimPartition(t.Context(), b.DB, "orders", 1)
	require.NoError(t, err)
	_, err = ib.ProcessBatch(t.Context(), b.DB, orders(2), h, inbox.WithPartitionClaim(hold))
	require.ErrorIs(t, err, inbox.ErrInvalidPosition, "another partition")
	_, err = ib.ProcessBatch(t.Context(), b.DB, orders(2), h, inbox.WithPartitionClaim(hold), inbox.WithStream("1"))
	require.ErrorContains(t, err, "WithStream with WithPartitionClaim")
	_, err = ib.ProcessBatch(t.Context(), b.DB, orders(2),
		func(_ context.Context, tx *sql.Tx, _ []inbox.Message) error { return tx.Commit() })
	require.ErrorIs(t, err, inbox.ErrHandlerEndedTx)
	require.NoError(t, ib.Check(t.Context(), b.DB))
	b.exec(t, "DROP TABLE inbox_parked")
	require.ErrorContains(t, ib.Check(t.Context(), b.DB), "relay migrate up")
}
