package doctor_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/doctor"
	"github.com/postroom/postroom/internal/doctor/facts"
	store "github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/internal/store/source"
)

// in returns a time in the future, in the dialect's SQL for a column.
func in(d db.Dialect, seconds string) string {
	return map[db.Dialect]string{
		db.PostgreSQL: "clock_timestamp() + " + seconds + " * interval '1 second'",
		db.MySQL:      "utc_timestamp(6) + INTERVAL " + seconds + " SECOND",
		db.SQLite:     "strftime('%Y-%m-%dT%H:%M:%f', 'now', '" + seconds + " seconds') || '000Z'",
	}[d]
}

func TestWhatTheLeaseTells(t *testing.T) {
	steps(t,
		step{"a source that nobody owns is stopped", nobodyOwnsIt},
		step{"a halted source is told with its reason", halted},
		step{"an owner that cannot reach the sink is told", blindOwner},
		step{"a lease that ends far in the future is told", farInTheFuture},
		step{"a table of another source is told", anothersTable},
		step{"another mode than before is told", anotherMode},
		step{"a lease row that is gone is told", rowGone},
		step{"the relays that are alive are listed", alive},
	)
}

func nobodyOwnsIt(t *testing.T, c *clinic) {
	c.exec("UPDATE outbox_leases SET expires_at = " + in(c.db.Dialect, "-90"))
	expired := c.examine().only(t, "lease.stopped")
	requireFinding(t, expired, doctor.Problem, "outbox_leases", "relay run --config relay.yaml")
	require.Contains(t, expired.What, c.lease.Owner.String())
	require.Regexp(t, `expired (1m3|1m4|1m5|2m)\d*s ago`, expired.What)

	require.NoError(t, c.relay.HandOver(t.Context(), c.lease, uuid.Nil))
	released := c.examine().only(t, "lease.stopped")
	require.Contains(t, released.What, "epoch 1 released it")

	c.exec("UPDATE outbox_leases SET epoch = 0, mode = NULL")
	require.Contains(t, c.examine().only(t, "lease.stopped").What, "no relay has ever owned")
}

func halted(t *testing.T, c *clinic) {
	require.NoError(
		t, c.relay.Note(t.Context(), c.lease, store.Halted("halted: the sink rejects row 46 of outbox_events")),
	)
	require.NoError(t, c.relay.HandOver(t.Context(), c.lease, uuid.Nil))
	found := c.examine()
	halted := found.only(t, "lease.halted")
	requireFinding(t, halted, doctor.Problem, "outbox_leases", "relay run --config relay.yaml")
	require.Equal(t, "halted: the sink rejects row 46 of outbox_events", halted.What)
	require.Empty(t, found.all("lease.stopped"), "it says why already")
}

func blindOwner(t *testing.T, c *clinic) {
	require.NoError(t, c.relay.Note(t.Context(), c.lease, store.SinkUnreachable(true)))
	found := c.examine()
	blind := found.only(t, "lease.blind")
	requireFinding(t, blind, doctor.Problem, "outbox_leases", "relay run --config relay.yaml")
	require.Contains(t, blind.What, c.lease.Owner.String())
	require.Regexp(t, `epoch 1, cannot reach the sink since \d{4}-\d\d-\d\dT[\d:]+Z$`, blind.What)
	require.Contains(t, found.only(t, "lease.owner").Why, "cannot deliver")

	require.NoError(t, c.relay.Note(t.Context(), c.lease, store.SinkUnreachable(false)))
	require.Empty(t, c.examine().all("lease.blind"), "it reaches the sink again")

	require.NoError(t, c.relay.Note(t.Context(), c.lease, store.SinkUnreachable(true)))
	require.NoError(t, c.relay.HandOver(t.Context(), c.lease, uuid.Nil))
	require.Empty(t, c.examine().all("lease.blind"), "nobody owns the source any more")
}

// Hazard clock-steps-back: the clock was set back, and a dead owner's lease lasts for hours.
func farInTheFuture(t *testing.T, c *clinic) {
	c.exec("UPDATE outbox_leases SET expires_at = " + in(c.db.Dialect, "7200"))
	far := c.examine().only(t, "lease.expiry")
	requireFinding(t, far, doctor.Problem, "outbox_leases", "timedatectl status")
	require.Contains(t, far.What, "takes it for 1m0s at a time")
}

func anothersTable(t *testing.T, c *clinic) {
	c.source.Name = "billing"
	requireFinding(t, c.examine().only(t, "lease.source"), doctor.Problem, "outbox_leases",
		"relay run --source default")
}

func anotherMode(t *testing.T, c *clinic) {
	c.source.ExactlyOnce = true
	mode := c.examine().only(t, "lease.mode")
	requireFinding(t, mode, doctor.Warning, "outbox_leases", "relay run --config relay.yaml --mode at-least-once")
	require.Contains(t, mode.What, "at-least-once")
	require.Contains(t, mode.What, "exactly-once")
}

func rowGone(t *testing.T, c *clinic) {
	c.exec("DELETE FROM outbox_leases")
	gone := c.examine().only(t, "lease.row")
	requireFinding(t, gone, doctor.Problem, "outbox_leases", "INSERT INTO outbox_leases (id) VALUES (1);")
	c.exec(gone.Do[0])
	require.Empty(t, c.examine().all("lease.row"), "the statement mends it")
}

func alive(t *testing.T, c *clinic) {
	c.exec("INSERT INTO outbox_relays (relay_id, host, owned) VALUES ('0190a0e8-7e6b-7000-8000-000000000001', "+
		"'blue', 1), ('0190a0e8-7e6b-7000-8000-000000000002', 'green', 0)",
		// The lease has a length of one minute.
		"INSERT INTO outbox_relays (relay_id, host, seen_at) VALUES ('0190a0e8-7e6b-7000-8000-000000000003', 'gone', "+
			in(c.db.Dialect, "-75")+")")
	alive := c.examine().only(t, "lease.relays")
	requireFinding(t, alive, doctor.Note, "outbox_relays", "relay status")
	require.Contains(t, alive.What, "2 live relays")
	require.Contains(t, alive.What, "blue (0190a0e8-7e6b-7000-8000-000000000001, owns 1 source,")
	require.Contains(t, alive.What, "green")
	require.NotContains(t, alive.What, "gone")
}

func TestAWarningComesFromAFifthOfTheLimitOn(t *testing.T) {
	f := healthyFacts()
	f.MaxAge = 5 * time.Minute
	for age, severity := range map[time.Duration]doctor.Severity{
		time.Second: doctor.Note, time.Minute: doctor.Warning, 5 * time.Minute: doctor.Problem,
	} {
		f.Backlog = &facts.Backlog{Waiting: 1, Oldest: &source.OldestEvent{ID: 1, Age: age}}
		found := findings(f.Check())
		check := "delivery.late"
		if severity == doctor.Note {
			check = "delivery.backlog"
		}
		require.Equal(t, severity, found.only(t, check).Severity, "%s", age)
	}
}
