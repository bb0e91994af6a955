package doctor_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/doctor"
	"github.com/postroom/postroom/internal/doctor/facts"
	store "github.com/postroom/postroom/internal/store/relay"
)

func (c *clinic) insertAged(seconds string) {
	c.exec("INSERT INTO outbox_events (topic, event_id, created_at) VALUES ('orders', " +
		"'0190a0e8-7e6b-7000-8000-00000000abcd', " + in(c.db.Dialect, seconds) + ")")
}

func TestWhatWaitsIsTold(t *testing.T) {
	steps(t,
		step{"an event that waits for long is told with its age", waitsForLong},
		step{"a late event points to what stops delivery", pointsToTheCause},
		step{"scheduled events that are overdue are told", overdue},
		step{"parked events are told with the oldest and its reason", parkedEvents},
	)
}

func waitsForLong(t *testing.T, c *clinic) {
	c.insertAged("-720")
	c.insert()
	late := c.examine().only(t, "delivery.late")
	requireFinding(t, late, doctor.Problem, "outbox_events", "relay status --config relay.yaml")
	require.Regexp(t, `^2 events wait; the oldest, row \d+ `+
		`\(event 0190a0e8-7e6b-7000-8000-00000000abcd, topic "orders"\), for 1[23]m\d+s$`, late.What)
	require.Contains(t, late.Why, "a relay owns the source")

	c.opts.MaxAge = time.Hour
	require.Equal(t, doctor.Warning, c.examine().only(t, "delivery.late").Severity)
}

func pointsToTheCause(t *testing.T, c *clinic) {
	c.insertAged("-720")
	require.NoError(t, c.relay.HandOver(t.Context(), c.lease, uuid.Nil))
	stopped := c.examine().only(t, "delivery.late")
	require.Contains(t, stopped.Why, "lease.stopped")
	require.Equal(t, []string{"relay run --config relay.yaml"}, stopped.Do)

	c.claim(time.Minute)
	require.NoError(t, c.relay.Note(t.Context(), c.lease, store.Halted("halted: no")))
	require.Contains(t, c.examine().only(t, "delivery.late").Why, "lease.halted")

	c.source.Sink, c.source.SinkErr = nil, errors.New("nobody listens")
	require.Contains(t, c.examine().only(t, "delivery.late").Why, "sink.unreachable")
}

func overdue(t *testing.T, c *clinic) {
	c.exec("INSERT INTO outbox_scheduled (topic, deliver_at) VALUES ('orders', " + in(c.db.Dialect, "-400") + ")")
	c.exec("INSERT INTO outbox_scheduled (topic, deliver_at) VALUES ('orders', " + in(c.db.Dialect, "3600") + ")")
	late := c.examine().only(t, "delivery.scheduled")
	requireFinding(t, late, doctor.Problem, "outbox_scheduled", "relay status --config relay.yaml")
	require.Regexp(t, `^1 scheduled event is past its time, the oldest by [67]m\d+s$`, late.What)
}

func parkedEvents(t *testing.T, c *clinic) {
	park := func(n, key, state, reason string) {
		c.exec("INSERT INTO outbox_parked (id, event_id, topic, event_key, event_type, headers, created_at, " +
			"parked_at, state, error) VALUES (" +
			n + ", '0190a0e8-7e6b-7000-8000-00000000000" + n + "', 'orders', " + key + ", '', '{}', " +
			in(c.db.Dialect, "-4000") + ", " + in(c.db.Dialect, "-3600") + ", '" + state + "', '" + reason + "')")
	}
	park("1", "'a'", "failed", "MESSAGE_TOO_LARGE: raise max.message.bytes")
	park("2", "'a'", "blocked", "")
	park("3", "'b'", "failed", "other")
	park("4", "'b'", "blocked", "")
	park("5", "'b'", "blocked", "")
	found := c.examine()
	parked := found.only(t, "parked.failed")
	requireFinding(t, parked, doctor.Problem, "outbox_parked", "relay parked retry --topic orders --config relay.yaml")
	require.Regexp(t, `^2 rejected events and 3 later ones behind them are parked, of 2 keys, for 1h[01]m\d+s; `+
		`the oldest, event 0190a0e8-7e6b-7000-8000-000000000001 in topic "orders": MESSAGE_TOO_LARGE`, parked.What)
	require.Empty(t, found.all("parked.asked"))

	c.exec("UPDATE outbox_parked SET state = 'retry' WHERE id IN (1, 2)")
	found = c.examine()
	asked := found.only(t, "parked.asked")
	requireFinding(t, asked, doctor.Note, "outbox_parked", "relay parked list")
	require.Contains(t, asked.What, "2 parked events are marked")
	require.Contains(t, found.only(t, "parked.failed").What, "00000000003")
}

// Several rows are retried by their topic, and a single one by its id.
func TestWhatIsParkedIsSaidInASentence(t *testing.T) {
	for want, p := range map[string]facts.Parked{
		"1 rejected event is parked, of 1 key, for 1h0m0s":                              {Failed: 1},
		"2 rejected events are parked, of 1 key, for 1h0m0s":                            {Failed: 2},
		"1 rejected event and 1 later one behind it are parked, of 1 key":               {Failed: 1, Blocked: 1},
		"2 rejected events and 3 later ones behind them are parked, of 1 key":           {Failed: 2, Blocked: 3},
		"1 event is parked behind an earlier one of its key, of 1 key, for 1h0m0s":      {Blocked: 1},
		"2 events are parked behind an earlier one of their keys, of 1 key, for 1h0m0s": {Blocked: 2},
	} {
		f := healthyFacts()
		p.Keys, p.Age, p.Oldest = 1, time.Hour, &facts.ParkedEvent{EventID: "e-1", Topic: "orders"}
		f.Parked = &p
		found := findings(f.Check()).only(t, "parked.failed")
		require.True(t, strings.HasPrefix(found.What, want), found.What)
		retry := "relay parked retry e-1"
		if p.Failed > 1 {
			retry = "relay parked retry --topic orders"
		}
		require.Contains(t, strings.Join(found.Do, "\n"), retry)
	}
}

func TestManyKeysAreCounted(t *testing.T) {
	f := healthyFacts()
	f.Parked = &facts.Parked{Failed: 100_001, Keys: 77, More: true, Age: time.Hour}
	require.Contains(t, findings(f.Check()).only(t, "parked.failed").What, "more than 100,001 rejected events")
}
