package doctor_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/doctor"
	"github.com/postroom/postroom/internal/doctor/facts"
	inboxstore "github.com/postroom/postroom/internal/store/inbox"
	"github.com/postroom/postroom/migrations"
)

func (c *clinic) examineInbox(retention time.Duration) findings {
	c.t.Helper()
	r := doctor.ExamineInbox(c.t.Context(), c.source, doctor.InboxOptions{Options: c.opts, Retention: retention})
	requireKnown(c.t, r.Findings)
	return r.Findings
}

// ago formats a time for the columns.
func (c *clinic) ago(d time.Duration) string {
	at := time.Now().UTC().Add(-d)
	switch c.db.Dialect {
	case db.MySQL:
		return "'" + at.Format("2006-01-02 15:04:05.000000") + "'"
	case db.SQLite:
		return "'" + at.Format("2006-01-02T15:04:05.000000Z") + "'"
	}
	return "'" + at.Format(time.RFC3339Nano) + "'"
}

func (c *clinic) applied(consumer, id string, ago time.Duration) {
	c.exec(fmt.Sprintf("INSERT INTO inbox_events (consumer, message_id, processed_at) VALUES ('%s', '%s', %s)",
		consumer, id, c.ago(ago)))
}

func (c *clinic) setAside(consumer, key, state string, ago time.Duration) {
	c.exec(fmt.Sprintf("INSERT INTO inbox_parked (consumer, message_id, topic, event_key, headers, state, parked_at) "+
		"VALUES ('%s', '%s', 'orders', '%s', '{}', '%s', %s)",
		consumer, "of "+state, key, state, c.ago(ago)))
}

// The test runs on each kind of database, one after another.
func TestTheInboxIsExamined(t *testing.T) {
	all := []step{
		{"nothing is wrong", func(t *testing.T, c *clinic) {
			require.Empty(t, c.examineInbox(0))
			c.applied("billing", "m", time.Hour)
			c.exec("INSERT INTO inbox_attempts (consumer, message_id, attempts) VALUES ('billing', 'm2', 1)")
			require.Empty(t, c.examineInbox(week))
		}},
		{"parked messages", func(t *testing.T, c *clinic) {
			c.applied("billing", "m", 2*time.Hour)
			c.setAside("billing", "k", "failed", time.Hour)
			c.setAside("billing", "k", "blocked", time.Minute)
			c.exec("INSERT INTO inbox_blocked (consumer, topic, event_key) VALUES ('billing', 'orders', 'k')")
			all := c.examineInbox(0)
			require.Len(t, all, 1, all.ids())
			f := all.only(t, "inbox.parked")
			requireFinding(t, f, doctor.Problem, "billing",
				"relay inbox parked list --config relay.yaml --consumer billing")
			require.Regexp(t, `1 failed message and 1 later one behind it are parked; `+
				`1 key is blocked; the oldest is parked for 1h0m\d+s$`, f.What)
		}},
		{"an old failed message beside one that was just asked for", func(t *testing.T, c *clinic) {
			c.applied("billing", "m", 3*time.Hour)
			c.setAside("billing", "k", "failed", time.Hour)
			c.exec("INSERT INTO inbox_blocked (consumer, topic, event_key) VALUES ('billing', 'orders', 'k')")
			c.setAside("billing", "l", "retry", time.Second)
			require.Equal(t, doctor.Note, c.examineInbox(0).only(t, "inbox.asked").Severity)
		}},
		{"a new failed message beside an old one that was asked for", func(t *testing.T, c *clinic) {
			c.applied("billing", "m", 3*time.Hour)
			c.setAside("billing", "k", "failed", time.Hour)
			c.exec("INSERT INTO inbox_blocked (consumer, topic, event_key) VALUES ('billing', 'orders', 'k')")
			c.setAside("billing", "l", "retry", 2*time.Hour)
			require.Contains(t, c.examineInbox(0).only(t, "inbox.parked").What, "the oldest is parked for 1h0m")
		}},
		{"messages that were asked for", func(t *testing.T, c *clinic) {
			c.applied("billing", "m", 2*time.Hour)
			c.setAside("billing", "k", "retry", time.Second)
			require.Equal(t, doctor.Note, c.examineInbox(0).only(t, "inbox.asked").Severity)
			c.setAside("billing", "k", "drop", time.Hour)
			f := c.examineInbox(0).only(t, "inbox.asked")
			requireFinding(t, f, doctor.Warning, "billing", "relay inbox parked list")
			require.Contains(t, f.What, "2 parked messages are marked for retry or drop")
			c.exec("INSERT INTO inbox_blocked (consumer, topic, event_key) VALUES ('billing', 'orders', 'k')")
			c.setAside("billing", "k", "blocked", time.Second)
			all := c.examineInbox(0)
			require.Empty(t, all.all("inbox.parked"), "nothing is left to do for an operator")
			require.Contains(t, all.only(t, "inbox.asked").What, "; 1 later one waits behind")
		}},
		{"a key that stands still behind nothing", func(t *testing.T, c *clinic) {
			c.exec("INSERT INTO inbox_blocked (consumer, topic, event_key) VALUES ('billing', 'orders', 'it''s')")
			f := c.examineInbox(0).only(t, "inbox.blocked")
			requireFinding(t, f, doctor.Problem, "billing", "DELETE FROM inbox_blocked WHERE consumer = 'billing' "+
				"AND topic = 'orders' AND event_key = 'it''s';")
			c.exec(f.Do[0])
			require.Empty(t, c.examineInbox(0))
		}},
		{"a message that waits behind nothing", func(t *testing.T, c *clinic) {
			c.setAside("billing", "k", "blocked", time.Minute)
			f := c.examineInbox(0).only(t, "inbox.blocked")
			requireFinding(t, f, doctor.Problem, "billing", "relay inbox parked retry ")
			require.Contains(t, f.What, "the key is not blocked")
		}},
		{"a message that waits and is the first of its key", func(t *testing.T, c *clinic) {
			c.exec("INSERT INTO inbox_blocked (consumer, topic, event_key) VALUES ('billing', 'orders', 'k'), " +
				"('billing', 'orders', 'other')")
			c.setAside("billing", "other", "failed", time.Minute)
			c.setAside("billing", "other", "blocked", time.Minute)
			c.setAside("billing", "k", "blocked", time.Minute)
			c.setAside("billing", "k", "blocked", time.Minute)
			var head int64
			require.NoError(t, c.db.DB.QueryRowContext(t.Context(),
				"SELECT min(seq) FROM inbox_parked WHERE event_key = 'k'").Scan(&head))
			f := c.examineInbox(0).only(t, "inbox.blocked")
			requireFinding(t, f, doctor.Problem, "billing", fmt.Sprintf("relay inbox parked retry %d ", head))
			require.Contains(t, f.What, "it is the first of its key")
		}},
		{"a member that stands still with its transaction open", func(t *testing.T, c *clinic) {
			if c.db.Dialect == db.SQLite {
				return // its busy timeout ends such waits
			}
			const insert = "INSERT INTO inbox_events (consumer, message_id) VALUES ('billing', 'm')"
			dead, err := c.db.DB.BeginTx(t.Context(), nil)
			require.NoError(t, err)
			var session int64
			require.NoError(t, dead.QueryRowContext(t.Context(), map[db.Dialect]string{
				db.PostgreSQL: "SELECT pg_backend_pid()",
				db.MySQL:      "SELECT CONNECTION_ID()"}[c.db.Dialect]).Scan(&session))
			names := db.Names{Dialect: c.db.Dialect}
			// The inbox quotes the name like this.
			insertion := strings.Replace(insert, "inbox_events", names.Table("inbox_events"), 1)
			_, err = dead.ExecContext(t.Context(), insertion)
			require.NoError(t, err)
			successor := make(chan error, 1)
			go func() {
				_, err := c.db.DB.ExecContext(context.WithoutCancel(t.Context()), insertion)
				successor <- err
			}()
			c.opts.MaxAge = 6 * time.Second // a wait of a thirtieth of it is long
			var found findings
			require.Eventually(t, func() bool {
				found = c.examineInbox(0).all("inbox.waits")
				return len(found) > 0
			}, 20*time.Second, 150*time.Millisecond)
			c.opts.MaxAge = 0
			end := "SELECT pg_terminate_backend(%d);"
			if c.db.Dialect == db.MySQL {
				end = "KILL %d;"
			}
			requireFinding(t, found.only(t, "inbox.waits"), doctor.Problem, "inbox_events", fmt.Sprintf(end, session))
			require.Contains(t, found[0].What, fmt.Sprintf("that session %d (", session))
			require.Empty(t, c.examineInbox(0).all("inbox.waits"), "not long by default")
			require.NoError(t, dead.Rollback())
			require.NoError(t, <-successor)
		}},
		{"an inbox that nobody prunes", func(t *testing.T, c *clinic) {
			c.applied("billing", "m", 16*24*time.Hour)
			require.Empty(t, c.examineInbox(0))
			require.Empty(t, c.examineInbox(10*24*time.Hour))
			requireFinding(t, c.examineInbox(week).only(t, "inbox.unpruned"), doctor.Warning, "billing",
				"relay inbox status --config relay.yaml --consumer billing")
			c.applied("mail", "m", 91*24*time.Hour)
			requireFinding(t, c.examineInbox(0).only(t, "inbox.unpruned"), doctor.Warning, "mail", "relay inbox status")
		}},
		{"a retention that is shorter than a message is parked", func(t *testing.T, c *clinic) {
			c.applied("billing", "m", 3*time.Hour)
			c.setAside("billing", "k", "retry", 2*time.Hour)
			require.Empty(t, c.examineInbox(3*time.Hour).all("inbox.retention"))
			requireFinding(t, c.examineInbox(time.Hour).only(t, "inbox.retention"), doctor.Warning, "billing",
				"relay inbox parked list")
			c.exec("DELETE FROM inbox_events")
			require.Empty(t, c.examineInbox(0).all("inbox.retention"), "a consumer that keeps no rows")
			c.applied("billing", "m", time.Hour)
			requireFinding(t, c.examineInbox(0).only(t, "inbox.retention"), doctor.Warning, "billing",
				"relay inbox parked list")
		}},
		{"attempts that were left", func(t *testing.T, c *clinic) {
			c.exec("INSERT INTO inbox_attempts (consumer, message_id, attempts, started_at) " +
				"VALUES ('billing', 'm', 2, " + c.ago(2*time.Hour) + ")")
			f := c.examineInbox(0).only(t, "inbox.attempts")
			requireFinding(t, f, doctor.Warning, "billing", "SELECT * FROM inbox_attempts WHERE consumer = 'billing'")
			c.exec(f.Do[0])
		}},
		{"a backfill that did not arrive", func(t *testing.T, c *clinic) {
			c.exec("INSERT INTO inbox_replica_runs (replica, run_id, heard_at) VALUES ('customers', 'under way', " +
				c.ago(2*time.Hour) + ")")
			require.Empty(t, c.examineInbox(0))
			c.exec("INSERT INTO inbox_replica_runs (replica, run_id, sent, started_at, heard_at) VALUES " +
				"('customers', 'r1', 17, " + c.ago(3*time.Hour) + ", " + c.ago(2*time.Hour) + ")")
			f := c.examineInbox(0).only(t, "inbox.backfill")
			requireFinding(t, f, doctor.Warning, "customers", "relay inbox parked list")
			require.Contains(t, f.What, "r1")
		}},
		{"tables of an older build, and none", func(t *testing.T, c *clinic) {
			c.exec("DROP TABLE inbox_replica_runs")
			f := c.examineInbox(0).only(t, "inbox.missing")
			requireFinding(t, f, doctor.Problem, "inbox_replica_runs",
				"relay migrate print --config relay.yaml --only inbox")
			c.exec("DELETE FROM postroom_schema WHERE version = 5")
			f = c.examineInbox(0).only(t, "inbox.pending")
			requireFinding(t, f, doctor.Warning, "00005_inbox_replica.sql",
				"relay migrate up --config relay.yaml --only inbox")
			c.exec("DROP TABLE postroom_schema")
			require.Equal(t, doctor.Problem, c.examineInbox(0).only(t, "inbox.missing").Severity)
		}},
	}
	eachDatabase(t, func(t *testing.T, c *clinic) {
		for _, s := range all {
			t.Run(s.name, func(t *testing.T) {
				c.t = t
				for _, table := range []string{"events", "parked", "blocked", "attempts", "offsets", "replica_runs"} {
					c.exec("DELETE FROM inbox_" + table)
				}
				s.run(t, c)
			})
		}
	})
}

const week = 7 * 24 * time.Hour

func TestAConsumersMissingRightsAreNamed(t *testing.T) {
	on(t, func(t *testing.T, c *clinic) {
		c.as("SELECT, INSERT, DELETE ON inbox_events", "SELECT, INSERT, UPDATE, DELETE ON inbox_attempts",
			"SELECT, INSERT, UPDATE, DELETE ON inbox_blocked",
			"SELECT ON inbox_parked", "SELECT, INSERT, UPDATE, DELETE ON inbox_offsets", "SELECT ON inbox_replica_runs",
			"SELECT ON postroom_schema")
		lacking := c.examineInbox(0).all("inbox.grants")
		require.Len(t, lacking, 2, lacking.ids())
		for _, f := range lacking {
			c.exec(f.Do[0])
		}
		require.Empty(t, c.examineInbox(0).all("inbox.grants"), "what stands there helps")
	}, map[string]func(testing.TB) dbtest.Database{dbtest.FlavorPostgreSQL15: dbtest.PostgreSQL,
		dbtest.FlavorMariaDB: dbtest.MariaDB})
}

func TestDailyPartitionsAndDeadRowsAreExamined(t *testing.T) {
	onPostgres(t, func(t *testing.T, c *clinic) {
		c.exec("ALTER TABLE inbox_events SET (autovacuum_enabled = off)")
		requireFinding(t, c.examineInbox(0).only(t, "inbox.vacuum"), doctor.Problem, "inbox_events",
			"ALTER TABLE inbox_events RESET (autovacuum_enabled);")
		c.exec("ALTER TABLE inbox_events RESET (autovacuum_enabled)")
		require.Empty(t, c.examineInbox(0))

		old := time.Now().Add(-20 * 24 * time.Hour)
		c.applied("billing", fmt.Sprintf("%08x-0000-7000-8000-000000000000", old.UnixMilli()>>16), 20*24*time.Hour)
		tables, err := inboxstore.New(c.names)
		require.NoError(t, err)
		_, err = tables.Partition(t.Context(), c.db.DB, 0, time.Minute)
		require.NoError(t, err)
		found := c.examineInbox(0).all("inbox.days")
		require.Len(t, found, 2, found.ids())
		requireFinding(t, found[0], doctor.Warning, "inbox_events", "relay inbox prune --config relay.yaml")
		require.Contains(t, found[1].What, `consumer "billing" has not recorded`)

		owner := c.source.DB
		// The user of a consumer that was added after the table was converted to daily partitions has these
		// rights.
		c.as("SELECT, INSERT, UPDATE, DELETE ON inbox_events, inbox_attempts, inbox_blocked, inbox_parked, "+
			"inbox_offsets", "SELECT ON inbox_replica_runs", "SELECT ON postroom_schema")
		lacking := c.examineInbox(0).all("inbox.grants")
		require.Len(t, lacking, 3, lacking.ids())
		require.Contains(t, lacking[0].What, "SELECT, INSERT, UPDATE on inbox_expiry")
		for _, f := range lacking {
			c.exec(f.Do[0])
		}
		require.Empty(t, c.examineInbox(0).all("inbox.grants"))
		c.source.DB = owner

		days := tables.Days(time.Minute)
		_, err = days.Create(t.Context(), c.db.DB, 7)
		require.NoError(t, err)
		require.NoError(t, days.SetExpiry(t.Context(), c.db.DB, "billing", week, nil, 0))
		found = c.examineInbox(0)
		require.Contains(t, found.only(t, "inbox.days").What, "no consumer needs its rows any more")
		require.Contains(t, found.only(t, "inbox.unpruned").What, "the retention is 7 days", "as the consumer told it")
		for _, is := range found.all("inbox.days") {
			dropped, err := days.Drop(t.Context(), c.db.DB, is.Subject)
			require.NoError(t, err)
			require.True(t, dropped.Done, dropped.Reason)
		}
		require.Empty(t, c.examineInbox(0))
	})
}

// These faults would need a large table, or another build.
func TestWhatTheInboxDoctorSaysOfAnswers(t *testing.T) {
	f := healthyFacts()
	f.Inbox = &doctor.InboxFacts{VacuumTable: db.InboxEvents}
	f.Unusable = migrations.ErrTooOld
	requireFinding(t, findings(f.CheckInbox()).only(t, "inbox.old"), doctor.Problem, "inbox_events",
		"relay migrate up --only inbox")
	f.Unusable = migrations.ErrTooNew
	requireFinding(t, findings(f.CheckInbox()).only(t, "inbox.new"), doctor.Problem, "inbox_events", "relay version")
	f.Unusable = nil
	f.Migrations = []migrations.StatusRow{{Version: 99, File: "00099_inbox_more.sql", Applied: true}}
	requireFinding(t, findings(f.CheckInbox()).only(t, "inbox.new"), doctor.Note, "00099_inbox_more.sql",
		"relay version")
	f.Migrations = nil
	f.Vacuum = &facts.Vacuum{
		Live: 1000, Dead: 80_000, Threshold: 70, Last: -1, Settings: map[string]string{}, TableSwitch: true,
		HeldBack: []facts.Horizon{{Kind: "slot", Name: "copy", Age: 1e6}},
	}
	dead := findings(f.CheckInbox()).only(t, "inbox.vacuum")
	requireFinding(t, dead, doctor.Warning, "inbox_events", "VACUUM (ANALYZE, VERBOSE) inbox_events;")
	require.Contains(t, dead.What, "kept by slot copy")
	f.Vacuum.ServerWide = "autovacuum"
	require.Len(t, findings(f.CheckInbox()).all("inbox.vacuum"), 2)
}
