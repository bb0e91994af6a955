package inbox_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/doctor/facts"
	store "github.com/postroom/postroom/internal/store/inbox"
	"github.com/postroom/postroom/migrations"
)

// idOf is a message id of the day that lies so many days back, told from others by n.
func idOf(daysBack, n int) string {
	id := uuid.Must(uuid.NewV7())
	ms := uint64(time.Now().AddDate(0, 0, -daysBack).UnixMilli())
	for at := range 6 {
		id[at] = byte(ms >> (40 - 8*at))
	}
	id[15] = byte(n)
	return id.String()
}

// tables returns the statements of the tables.
func (b bench) tables() *store.Store {
	s, err := store.New(db.Names{Dialect: b.Dialect})
	if err != nil {
		panic(err)
	}
	return s
}

// days returns what makes and drops the partitions, with time enough for locks.
func (b bench) days() *store.Days {
	return b.tables().Days(time.Minute)
}

// oldDay has a partition of its own for a day ten days back, in which are n old rows of
// billing, without positions.
func oldDay(t *testing.T, n int) (b bench, ib *inbox.Inbox, day string, ids []string) {
	t.Helper()
	plain := newBench(t, dbtest.Migrate(t, dbtest.PostgreSQL(t)))
	before := plain.inbox(t, "billing")
	for at := range n {
		ids = append(ids, idOf(10, at))
		require.True(t, plain.accept(t, before, inbox.Message{ID: ids[at]}))
	}
	plain.makeOlder(t, 10*24*time.Hour)
	copied, err := plain.tables().Partition(t.Context(), plain.DB, 1, time.Minute)
	require.NoError(t, err)
	require.EqualValues(t, n, copied)
	plain.daily = true
	return plain, plain.inbox(t, "billing"), time.Now().UTC().AddDate(0, 0, -10).Format(time.DateOnly), ids
}

func (b bench) partitions(t *testing.T) []string {
	t.Helper()
	rows, err := b.DB.QueryContext(t.Context(),
		"SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'inbox_events'::regclass ORDER BY 1")
	require.NoError(t, err)
	defer rows.Close()
	var all []string
	for rows.Next() {
		var name string
		require.NoError(t, rows.Scan(&name))
		all = append(all, name)
	}
	require.NoError(t, rows.Err())
	return all
}

func partitionOf(day string) string { return "inbox_events_d" + strings.ReplaceAll(day, "-", "") }

// Written in Go by one consumer, and in SQL where the table is converted under the other.
func TestADayIsOfTheIDAlone(t *testing.T) {
	b := newBench(t, dbtest.Migrate(t, dbtest.PostgreSQL(t)))
	before := b.inbox(t, "billing")
	b.daily = true
	ib, mail := b.inbox(t, "billing"), b.inbox(t, "mail")
	ids := map[string]string{
		idOf(0, 1):                              time.Now().UTC().Format(time.DateOnly),
		"00000000-0000-7000-8000-000000000000":  "1970-01-01",
		"05265b5f-8c00-7000-8000-000000000000":  "2149-06-06",
		"e677d21f-dbff-7000-bfff-ffffffffffff":  "9999-12-31",
		"e677d21f-dc00-7000-bfff-ffffffffffff":  "1970-01-01", // the year 10000
		"ffffffff-ffff-7fff-bfff-ffffffffffff":  "1970-01-01",
		"018f6d2a-0000-7000-8000-000000000001":  "2024-05-12",
		"018F6D2A-0000-7000-8000-000000000001":  "1970-01-01", // another id, by its bytes
		"018f6d2a-0000-7000-c000-000000000001":  "1970-01-01", // another variant
		"018f6d2a-0000-4000-8000-000000000001":  "1970-01-01",
		"018f6d2a-0000-7000-8000-00000000000g":  "1970-01-01",
		"018f6d2a0000-7000-8000-0000-00000001":  "1970-01-01",
		"shop 018f6d2a-0000-7000-8000-00000001": "1970-01-01",
		"a'\"\\{},é":                            "1970-01-01",
	}
	for id := range ids {
		require.True(t, b.accept(t, before, inbox.Message{ID: id}), id)
	}
	_, err := b.tables().Partition(t.Context(), b.DB, 1, time.Minute)
	require.NoError(t, err)
	for id, day := range ids {
		require.False(t, b.accept(t, ib, inbox.Message{ID: id}), id)
		require.True(t, b.accept(t, mail, inbox.Message{ID: id}), id)
		require.False(t, b.accept(t, mail, inbox.Message{ID: id}), id)
		var found string
		require.NoError(t, b.DB.QueryRowContext(t.Context(),
			"SELECT message_day::text FROM inbox_events "+
				"WHERE message_id = $1 GROUP BY 1 HAVING count(*) = 2", id).Scan(&found))
		require.Equal(t, day, found, id)
	}
	require.Equal(t, 20, b.count(t, "SELECT count(*) FROM inbox_events_undated"))
	require.Equal(t, 6, b.count(t, "SELECT count(*) FROM inbox_events_strays"), "days without a partition")
}

func TestOptionAndTableMustAgree(t *testing.T) {
	daily := newDailyBench(t)
	plain := daily
	plain.daily = false
	without, with := plain.inbox(t, "billing"), daily.inbox(t, "billing")
	require.NoError(t, with.Check(t.Context(), daily.DB))
	err := without.Check(t.Context(), daily.DB)
	require.ErrorIs(t, err, inbox.ErrLayout)
	require.ErrorContains(t, err, "WithDailyPartitions")
	_, err = without.Accept(t.Context(), daily.begin(t), inbox.Message{ID: "m"})
	require.ErrorContains(t, err, "relay inbox partition", "no row slips into a table that is made otherwise")

	other := newBench(t, dbtest.Migrate(t, dbtest.PostgreSQL(t)))
	require.NoError(t, without.Check(t.Context(), other.DB))
	require.ErrorIs(t, with.Check(t.Context(), other.DB), inbox.ErrLayout)
	_, err = with.Accept(t.Context(), other.begin(t), inbox.Message{ID: "m"})
	require.ErrorContains(t, err, "relay inbox partition")
	_, err = with.Prune(t.Context(), other.DB, inbox.PruneOptions{Retention: week})
	require.Error(t, err)
	_, err = inbox.New(inbox.SQLite, "billing", inbox.WithDailyPartitions())
	require.ErrorContains(t, err, "only PostgreSQL")
	_, err = daily.tables().Partition(t.Context(), daily.DB, 1, time.Minute)
	require.ErrorIs(t, err, store.ErrDaily)
}

func TestConvertingKeepsRowsAndRights(t *testing.T) {
	b := newBench(t, dbtest.Migrate(t, dbtest.PostgreSQL(t)))
	user := bench{Database: dbtest.Restricted(t, b.Database, "SELECT, INSERT, UPDATE, DELETE ON inbox_events",
		"INSERT ON effects"), daily: true}
	old, foreign := idOf(5, 1), "no uuid"
	before := b.inbox(t, "billing")
	for _, id := range []string{old, foreign} {
		require.True(t, b.accept(t, before, inbox.Message{ID: id,
			Position: &inbox.Position{Topic: "orders", Partition: 1, Offset: 7}}))
	}
	b.makeOlder(t, 2*week)
	copied, err := b.tables().Partition(t.Context(), b.DB, 2, time.Minute)
	require.NoError(t, err)
	require.EqualValues(t, 2, copied)
	require.Len(t, b.partitions(t), 2+3+1, "two without a day, today and two ahead, the old one")

	found, err := b.tables().TraceMessage(t.Context(), b.DB, old)
	require.NoError(t, err)
	require.Len(t, found, 1, "relay trace finds it")

	ib := user.inbox(t, "billing")
	require.False(t, user.accept(t, ib, inbox.Message{ID: old}))
	require.False(t, user.accept(t, ib, inbox.Message{ID: foreign}))
	outcome, err := ib.Process(t.Context(), user.DB, inbox.Message{ID: idOf(0, 2)}, user.effect("m"))
	require.NoError(t, err)
	require.Equal(t, inbox.Applied, outcome)
	// It may not drop a table: it tells what it does not need, and deletes rows.
	deleted, err := ib.Prune(t.Context(), user.DB,
		inbox.PruneOptions{Retention: 24 * time.Hour, Committed: committed(8), Margin: -1})
	require.NoError(t, err)
	require.EqualValues(t, 1, deleted)
	owner := b
	owner.daily = true
	dropped, err := owner.days().Drop(t.Context(), b.DB, time.Now().UTC().AddDate(0, 0, -5).Format(time.DateOnly))
	require.NoError(t, err)
	require.Equal(t, int64(1), dropped.Rows)
	require.True(t, dropped.Done, dropped.Reason)
}

// Hazard recreated-topic.
// The topic was made anew, and its offsets begin again: what the consumer told of the old one
// is below nothing of the new.
func TestWhatWasToldBeforeARowWasAppliedDoesNotCount(t *testing.T) {
	b, ib, day, _ := oldDay(t, 1)
	at := &inbox.Position{Topic: "orders", Offset: 5}
	require.NoError(t, b.days().SetExpiry(t.Context(), b.DB, "billing", time.Nanosecond*1000, nil, 0))
	require.NoError(t, b.days().SetExpiry(t.Context(), b.DB, "billing", time.Nanosecond*1000,
		&store.Position{Topic: "orders"}, 1000))
	require.True(t, b.accept(t, ib, inbox.Message{ID: idOf(10, 7), Position: at}))
	is, err := b.days().Drop(t.Context(), b.DB, day)
	require.NoError(t, err)
	require.Contains(t, is.Reason, "has recorded nothing for")
	require.NoError(t, b.days().SetExpiry(t.Context(), b.DB, "billing", time.Nanosecond*1000,
		&store.Position{Topic: "orders"}, 6))
	is, err = b.days().Drop(t.Context(), b.DB, day)
	require.NoError(t, err)
	require.True(t, is.Done, is.Reason)
}

func TestTheWindowOfDaysIsThatOfTheirOldestRow(t *testing.T) {
	b, ib, _, _ := oldDay(t, 2)
	window, err := ib.Window(t.Context(), b.DB)
	require.NoError(t, err)
	require.InDelta(t, 10*24*time.Hour, window, float64(time.Hour))
	require.True(t, b.accept(t, ib, inbox.Message{ID: "no uuid"}))
	require.True(t, b.accept(t, ib, inbox.Message{ID: idOf(0, 1)}))
	b.exec(t, "UPDATE inbox_events SET processed_at = processed_at - interval '20 days' WHERE message_id = 'no uuid'")
	window, err = ib.Window(t.Context(), b.DB)
	require.NoError(t, err)
	require.InDelta(t, 20*24*time.Hour, window, float64(time.Hour))
	b.exec(t, "DELETE FROM inbox_events WHERE processed_at < now() - interval '1 hour'")
	window, err = ib.Window(t.Context(), b.DB)
	require.NoError(t, err)
	require.Less(t, window, time.Hour)
	require.Positive(t, window)
}

func TestDaysOfAPrefixAndASchema(t *testing.T) {
	b := bench{Database: dbtest.PostgreSQL(t)}
	names := db.Names{Dialect: b.Dialect, Prefix: "eu_", Schema: "shop"}
	_, err := migrations.Apply(t.Context(), b.DB, b.Dialect,
		migrations.Options{Prefix: names.Prefix, Schema: names.Schema})
	require.NoError(t, err)
	where := []inbox.Option{inbox.WithTablePrefix(names.Prefix), inbox.WithSchema(names.Schema)}
	old := inbox.Message{ID: idOf(10, 1)}
	require.True(t, b.accept(t, b.inbox(t, "billing", where...), old))

	tables, err := store.New(names)
	require.NoError(t, err)
	writer := b.begin(t)
	_, err = writer.ExecContext(t.Context(),
		"UPDATE shop.eu_inbox_events SET processed_at = now() - interval '10 days'")
	require.NoError(t, err)
	_, err = tables.Partition(t.Context(), b.DB, 1, 50*time.Millisecond)
	require.True(t, db.IsSerialization(err), "a consumer is at work, and nothing was changed: %v", err)
	require.NoError(t, writer.Commit())
	_, err = tables.Partition(t.Context(), b.DB, 1, time.Minute)
	require.NoError(t, err)

	ib := b.inbox(t, "billing", append(where, inbox.WithDailyPartitions())...)
	require.NoError(t, ib.Check(t.Context(), b.DB))
	require.False(t, b.accept(t, ib, old))
	require.True(t, b.accept(t, ib, inbox.Message{ID: "no uuid"}))
	window, err := ib.Window(t.Context(), b.DB)
	require.NoError(t, err)
	require.Greater(t, window, 9*24*time.Hour)
	stats, err := ib.Stats(t.Context(), b.DB)
	require.NoError(t, err)
	require.EqualValues(t, 2, stats.Rows)
	deleted, err := ib.Prune(t.Context(), b.DB, inbox.PruneOptions{Retention: week})
	require.NoError(t, err)
	require.EqualValues(t, 1, deleted)
	require.Equal(t, 2+1+inbox.DaysAhead, b.count(
		t, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'shop.eu_inbox_events'::regclass"))
	looks, err := facts.New(b.DB, names, time.Minute)
	require.NoError(t, err)
	days, err := looks.Days(t.Context())
	require.NoError(t, err)
	require.Equal(t, inbox.DaysAhead, days.Ahead)
}
