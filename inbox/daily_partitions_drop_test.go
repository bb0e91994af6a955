package inbox_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox"
	store "github.com/postroom/postroom/internal/store/inbox"
)

func TestADayIsDroppedOnceNoConsumerNeedsIt(t *testing.T) {
	b, billing, day, ids := oldDay(t, 3)
	mail := b.inbox(t, "mail")
	prune := func(ib *inbox.Inbox, retention time.Duration, offset int64) int64 {
		deleted, err := ib.Prune(t.Context(), b.DB,
			inbox.PruneOptions{Retention: retention, Committed: committed(offset), Margin: -1})
		require.NoError(t, err)
		return deleted
	}
	stays := func(reason string) {
		t.Helper()
		is, err := b.days().Check(t.Context(), b.DB, day)
		require.NoError(t, err)
		require.Contains(t, is.Reason, reason)
		require.Contains(t, b.partitions(t), partitionOf(day))
	}
	require.True(t,
		b.accept(t, mail, inbox.Message{ID: ids[0], Position: &inbox.Position{Topic: "orders", Offset: 50}}))
	stays(`consumer "billing" has not recorded for how long`)
	require.Zero(t, prune(billing, week, 0))
	stays(`consumer "mail" has not recorded how far it is in orders/0`)
	require.Zero(t, prune(mail, week, 51))
	stays(`consumer "mail" applied a message`)
	b.exec(t, "UPDATE inbox_events SET processed_at = processed_at - interval '8 days' WHERE consumer = 'mail'")
	require.Zero(t, prune(mail, week, 50))
	stays(`consumer "mail" may read offset 50 of orders/0 again`)
	b.exec(t, "UPDATE inbox_expiry SET told_at = told_at - interval '25 hours' WHERE consumer = 'billing'")
	require.Zero(t, prune(mail, week, 51))
	stays(`consumer "billing" has recorded nothing for 25h0m`)
	require.Zero(t, prune(billing, 30*24*time.Hour, 0))
	require.Zero(t, prune(mail, week, 51))
	stays(`consumer "billing" applied a message`)
	require.EqualValues(t, 4, prune(billing, week, 0), "its own and the other's")
	require.NotContains(t, b.partitions(t), partitionOf(day))
	require.Len(t, b.partitions(t), 2+1+inbox.DaysAhead, "and those of the days to come are there")
	require.True(t, b.accept(t, billing, inbox.Message{ID: ids[0]}), "past the retention it is new")
	require.Equal(t, 1, b.count(t, "SELECT count(*) FROM inbox_events_strays"))
	require.Zero(t, prune(billing, week, 0))
	b.makeOlder(t, 2*week)
	require.EqualValues(t, 1, prune(billing, week, 0), "row by row")
}

// Hazard dropped-day.
// A copy of an old message is accepted between the look at the rows and the drop of their
// day, and is delivered once more. The rule: the rows are judged under the lock.
func TestACopyThatIsAcceptedWhileItsDayIsDroppedIsKept(t *testing.T) {
	ways := []struct {
		name string
		drop func(b bench, day string) error
		kept bool
	}{
		{"judged under the lock", func(b bench, day string) error {
			is, err := b.days().Drop(context.Background(), b.DB, day)
			if err == nil && !strings.Contains(is.Reason, "applied a message") {
				return fmt.Errorf("it says %q", is.Reason)
			}
			return err
		}, true},
		{"the rule taken out: judged before the lock", func(b bench, day string) error {
			is, err := b.days().Check(context.Background(), b.DB, day)
			if err != nil || is.Reason != "" {
				return fmt.Errorf("nothing seemed to be needed: %q, %w", is.Reason, err)
			}
			_, err = b.DB.ExecContext(context.Background(), "TRUNCATE "+partitionOf(day))
			return err
		}, false},
	}
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			b, ib, day, _ := oldDay(t, 1)
			require.NoError(t, b.days().SetExpiry(t.Context(), b.DB, "billing", week, nil, 0))
			late := inbox.Message{ID: idOf(10, 99)}
			writer := b.begin(t)
			fresh, err := ib.Accept(t.Context(), writer, late)
			require.NoError(t, err)
			require.True(t, fresh)
			dropped := make(chan error, 1)
			go func() { dropped <- way.drop(b, day) }()
			b.untilWaiting(t) // it has looked, and waits for the writer
			require.NoError(t, writer.Commit())
			require.NoError(t, <-dropped)
			require.Equal(t, way.kept, !b.accept(t, ib, late), "the next copy")
		})
	}
}

// Hazard dropped-day.
// Between the two steps: the day is empty, its partition not dropped yet.
func TestACopyThatIsAcceptedBeforeAnEmptyDayIsDroppedIsKept(t *testing.T) {
	b, ib, day, _ := oldDay(t, 2)
	require.NoError(t, b.days().SetExpiry(t.Context(), b.DB, "billing", week, nil, 0))
	writer := b.begin(t) // holds the whole table against the drop, not against the TRUNCATE
	_, err := ib.Accept(t.Context(), writer, inbox.Message{ID: idOf(0, 1)})
	require.NoError(t, err)
	type answer struct {
		is  store.Day
		err error
	}
	dropped := make(chan answer, 1)
	go func() {
		is, err := b.days().Drop(context.Background(), b.DB, day)
		dropped <- answer{is, err}
	}()
	b.untilWaiting(t)
	late := inbox.Message{ID: idOf(10, 99)}
	fresh, err := ib.Accept(t.Context(), writer, late)
	require.NoError(t, err)
	require.True(t, fresh)
	require.NoError(t, writer.Commit())
	got := <-dropped
	require.NoError(t, got.err)
	require.True(t, got.is.Emptied)
	require.False(t, got.is.Done)
	require.Equal(t, "a message of this day was applied meanwhile", got.is.Reason)
	require.False(t, b.accept(t, ib, late))
}

func TestADropWaitsForNoWriterAndNobodyWaitsForIt(t *testing.T) {
	b, ib, day, ids := oldDay(t, 2)
	require.NoError(t, b.days().SetExpiry(t.Context(), b.DB, "billing", week, nil, 0))
	brief := b.tables().Days(50 * time.Millisecond)
	writer := b.begin(t)
	_, err := ib.Accept(t.Context(), writer, inbox.Message{ID: ids[0]}) // a duplicate, which locks its day too
	require.NoError(t, err)
	is, err := brief.Drop(t.Context(), b.DB, day)
	require.NoError(t, err)
	require.Contains(t, is.Reason, "held a lock for longer than 50ms")
	require.False(t, is.Done || is.Emptied)
	require.True(t, b.accept(t, ib, inbox.Message{ID: idOf(10, 9)}), "the lock is free again")
	require.NoError(t, writer.Rollback())
	b.exec(t, "UPDATE inbox_events SET processed_at = processed_at - interval '30 days'")

	today := b.begin(t) // of another day: the rows go, the empty partition waits
	_, err = ib.Accept(t.Context(), today, inbox.Message{ID: idOf(0, 1)})
	require.NoError(t, err)
	is, err = brief.Drop(t.Context(), b.DB, day)
	require.NoError(t, err)
	require.True(t, is.Emptied)
	require.EqualValues(t, 3, is.Rows)
	require.NoError(t, today.Commit())
	is, err = brief.Drop(t.Context(), b.DB, day)
	require.NoError(t, err)
	require.True(t, is.Done, is.Reason)
	require.NotContains(t, b.partitions(t), partitionOf(day))
}

func TestADayWhoseMessagesCameTooSoonGetsNoPartition(t *testing.T) {
	b := newDailyBench(t) // today and tomorrow
	ib := b.inbox(t, "billing")
	early := inbox.Message{ID: idOf(-3, 1)} // a producer's clock is ahead
	require.True(t, b.accept(t, ib, early))
	made, err := b.days().Create(t.Context(), b.DB, 4)
	require.NoError(t, err)
	require.Len(t, made, 3)
	require.True(t, made[0].Done)
	require.False(t, made[1].Done)
	require.Contains(t, made[1].Reason, "inbox_events_strays already")
	require.True(t, made[2].Done)
	require.False(t, b.accept(t, ib, early))
	again, err := b.days().Create(t.Context(), b.DB, 4)
	require.NoError(t, err)
	require.Len(t, again, 1)
}

// Hazard dropped-day.
// A message's day gets its partition after the message was routed to the default one.
func TestAMessageWhoseDayIsBeingMadeIsAppliedOnce(t *testing.T) {
	b := newDailyBench(t)
	ib := b.inbox(t, "billing")
	maker, day := b.begin(t), time.Now().UTC().AddDate(0, 0, 3)
	_, err := maker.ExecContext(t.Context(), fmt.Sprintf(
		"CREATE TABLE soon (LIKE inbox_events INCLUDING ALL); ALTER TABLE inbox_events ATTACH PARTITION soon "+
			"FOR VALUES FROM ('%s') TO ('%s')",
		day.Format(time.DateOnly), day.AddDate(0, 0, 1).Format(time.DateOnly)))
	require.NoError(t, err)
	m := inbox.Message{ID: idOf(-3, 1)}
	type answer struct {
		outcome inbox.Outcome
		err     error
	}
	processed := make(chan answer, 1)
	go func() {
		outcome, err := ib.Process(context.Background(), b.DB, m,
			func(ctx context.Context, tx *sql.Tx) error { return b.effect(m.ID)(ctx, tx) })
		processed <- answer{outcome, err}
	}()
	b.untilWaiting(t)
	require.NoError(t, maker.Commit())
	got := <-processed
	require.NoError(t, got.err)
	require.Equal(t, inbox.Applied, got.outcome)
	require.Equal(t, 1, b.count(t, "SELECT count(*) FROM soon"))
	require.Equal(t, 1, b.effects(t))
}
