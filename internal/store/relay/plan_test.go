package relay_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/store/relay"
)

// someGaps returns as many gaps as the relay names in one read, in the lower half of the ids.
func someGaps() (gaps []relay.Range) {
	for i := range int64(512) {
		gaps = append(gaps, relay.Range{Lo: 10 + 90*i, Hi: 10 + 90*i + i%3})
	}
	return gaps
}

func someEvents(t *testing.T, r *relay.Store, n int) []relay.Event {
	t.Helper()
	return eventsAbove(t, r, 100_000-int64(n))
}

func TestPostgreSQLReadsAndDeletesByTheIndex(t *testing.T) {
	t.Parallel()
	for name, fresh := range map[string]func(testing.TB) dbtest.Database{
		"15": dbtest.PostgreSQL, "18": dbtest.PostgreSQL18,
	} {
		t.Run(name, func(t *testing.T) {
			dbtest.WithEvents(t, fresh, func(t *testing.T, db dbtest.Database) {
				for _, generic := range []bool{false, true} {
					t.Run(fmt.Sprint("generic ", generic), func(t *testing.T) { postgresPlans(t, db, generic) })
				}
			})
		})
	}
}

func postgresPlans(t *testing.T, db dbtest.Database, generic bool) {
	r := newRelay(t, db)
	for _, head := range []int64{0, 50_000, 99_990} {
		q := relay.ReadQuery{Head: head, Limit: 2048}
		statement, args := r.ReadSQL(q)
		plan := dbtest.PreparedPlan(t, db.DB, generic, "int, bigint", statement, args...)
		require.Contains(t, plan, "Index Scan using outbox_events_pkey", "head %d", head)
		require.NotContains(t, plan, "Seq Scan on outbox_events", "head %d", head)
		require.NotContains(t, plan, "Sort", "head %d:\n%s", head, plan)
	}

	q := relay.ReadQuery{Head: 50_000, Limit: 4096, Gaps: someGaps()}
	statement, args := r.ReadSQL(q)
	plan := dbtest.PreparedPlan(t, db.DB, generic, "int, bigint, text, text, text", statement, args...)
	require.Equal(t, 2, strings.Count(plan, "outbox_events_pkey"), plan)
	require.NotContains(t, plan, "Seq Scan on outbox_events", plan)
	// The statement's parts follow one another. The rows of the gaps may be sorted, because the gaps are
	// nearly empty, and without statistics a gap may use a bitmap. The tail never may.
	tail := plan[strings.LastIndex(plan, "Limit"):]
	require.Contains(t, tail, "Index Scan using outbox_events_pkey", plan)
	require.NotContains(t, tail, "Sort", plan)
	require.NotContains(t, plan, "Sort Key: (0", "the whole is not sorted:\n%s", plan)

	l := mustClaim(t, r)
	defer func() { require.NoError(t, r.HandOver(t.Context(), l, uuid.Nil)) }()
	for _, n := range []int{1, 500, 4000} {
		if n > 500 && !generic {
			continue // so large a part of the table that a scan is the better plan
		}
		var ids, eventIDs []string
		for _, e := range someEvents(t, r, n) {
			ids, eventIDs = append(ids, fmt.Sprint(e.ID)), append(eventIDs, e.EventID.String())
		}
		plan = dbtest.PreparedPlan(t, db.DB, generic, "text, text, text, bigint, text", r.DeleteEventsSQL(),
			"{"+strings.Join(ids, ",")+"}", "{"+strings.Join(eventIDs, ",")+"}", l.Owner, l.Epoch, l.Server)
		require.Contains(t, plan, "outbox_events_pkey", "%d events:\n%s", n, plan)
		require.NotContains(t, plan, "Seq Scan on outbox_events", "%d events:\n%s", n, plan)
	}
	plan = dbtest.PreparedPlan(t, db.DB, generic, "bigint, bigint, text, text, bigint, text", r.DeleteRunSQL(),
		90_001, 100_000, someEvents(t, r, 1)[0].EventID, l.Owner, l.Epoch, l.Server)
	require.Contains(t, plan, "outbox_events_pkey", plan)
	require.NotContains(t, plan, "Seq Scan on outbox_events", plan)
}

func TestMariaDBReadsAndDeletesByThePrimaryKey(t *testing.T) {
	dbtest.WithEvents(t, dbtest.MariaDB, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		for _, q := range []relay.ReadQuery{
			{Limit: 2048}, {Head: 50_000, Limit: 2048}, {Head: 99_990, Limit: 2048},
			{Head: 50_000, Limit: 4096, Gaps: someGaps()},
			{Head: 50_000, Limit: 4096, Gaps: someGaps(), GapsOnly: true},
		} {
			statement, args := r.ReadSQL(q)
			plan := dbtest.Plan(t, db, statement, args...)
			reads := 0
			for line := range strings.Lines(plan) {
				if strings.Contains(line, "outbox_events") {
					reads++
					require.Contains(t, line, " range PRIMARY PRIMARY ", plan)
					require.NotContains(t, line, "filesort", plan)
				}
			}
			require.Positive(t, reads, plan)
		}

		l := mustClaim(t, r)
		plan := dbtest.Plan(
			t, db, r.DeleteEventsSQL(),
			`[[5, "`+l.Owner.String()+`"]]`, l.Owner.String(), l.Epoch, l.Server,
		)
		require.Contains(t, plan, " e eq_ref PRIMARY PRIMARY ", plan)
		last := someEvents(t, r, 1)[0]
		plan = dbtest.Plan(
			t, db, r.DeleteRunSQL(),
			90_001, last.ID, last.ID, last.EventID.String(), l.Owner.String(), l.Epoch, l.Server, 10_000,
		)
		require.Contains(t, plan, " range PRIMARY PRIMARY ", plan)
		require.NotContains(t, plan, " ALL ", plan)
	})
}

func TestSQLiteReadsByTheRowID(t *testing.T) {
	dbtest.WithEvents(t, dbtest.SQLite, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		statement, args := r.ReadSQL(relay.ReadQuery{Head: 50_000, Limit: 2048, Gaps: someGaps()})
		plan := dbtest.Plan(t, db, statement, args...)
		require.Equal(t, 2, strings.Count(plan, "USING INTEGER PRIMARY KEY"), plan)
		require.NotContains(t, plan, "SCAN e", plan)
		require.NotContains(t, plan, "SCAN outbox_events", plan)
		for _, statement := range []string{r.DeleteRunSQL(), r.DeleteEventsSQL()} {
			plan := dbtest.Plan(t, db, statement, make([]any, strings.Count(statement, "?"))...)
			require.NotContains(t, plan, "SCAN outbox_events", plan)
			require.NotContains(t, plan, "SCAN e", plan)
		}
	})
}
