package doctor_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/doctor"
	store "github.com/postroom/postroom/internal/store/relay"
)

// An accepted finding is still shown, as the last one. It neither counts nor makes doctor fail.
func TestAnAcceptedFindingIsShownAndDoesNotCount(t *testing.T) {
	topic := goodTopic()
	topic.Config["min.insync.replicas"], topic.Config["unclean.leader.election.enable"] = "1", "true"
	f := withTopic(topic)
	require.Equal(t, 2, doctor.Report{Findings: f.Check()}.Count(doctor.Warning))

	f.Ignore = []string{"topics.min-isr topic orders", "topics.unclean topic other"}
	report := doctor.Report{Source: "shop", Database: "d", Findings: f.Check()}
	require.Equal(t, 1, report.Count(doctor.Warning), "the other one is of another topic")
	last := report.Findings[len(report.Findings)-1]
	require.Equal(t, "topics.min-isr", last.Check)
	require.True(t, last.Ignored)
	var b strings.Builder
	require.NoError(t, doctor.Render(&b, []doctor.Report{report}))
	require.Contains(t, b.String(), "  ignored  topics.min-isr  topic orders\n")
	require.Contains(t, doctor.Summary([]doctor.Report{report}), ", 1 ignored")

	f.Ignore = []string{"topics.min-isr", "topics.unclean"}
	require.Zero(t, doctor.Report{Findings: f.Check()}.Count(doctor.Warning))

	require.NoError(t, doctor.CheckIgnore(f.Ignore))
	require.ErrorContains(t, doctor.CheckIgnore([]string{"topic.unclean"}), `there is no finding "topic.unclean"`)
}

func reports() []doctor.Report {
	long := strings.Repeat("events wait for it ", 9)
	return []doctor.Report{
		{Source: "shop", Database: "postgresql at db:5432/shop", Sink: "kafka at k:9092", DatabaseSeen: true,
			SinkSeen: true, Findings: []doctor.Finding{
				{Severity: doctor.Problem, Check: "lease.stopped", Subject: "outbox_leases", What: long,
					Why: "its events wait", Do: []string{"relay run --config relay.yaml"}},
				{Severity: doctor.Note, Check: "order.writers", Subject: "outbox_events", What: "it cannot be seen",
					Why: "it matters", Do: []string{}},
			}},
		{Source: "billing", Database: "sqlite file billing.db", Findings: []doctor.Finding{}},
	}
}

func TestReportsArePrintedBySource(t *testing.T) {
	var b strings.Builder
	require.NoError(t, doctor.Render(&b, reports()))
	require.Equal(t, `source shop: postgresql at db:5432/shop, kafka at k:9092

  PROBLEM  lease.stopped  outbox_leases
           events wait for it events wait for it events wait for it events wait for it events wait for it
           events wait for it events wait for it events wait for it events wait for it
           why: its events wait
           do:  relay run --config relay.yaml

  note     order.writers  outbox_events
           it cannot be seen
           why: it matters

source billing: sqlite file billing.db

  nothing found
`, b.String())
	require.Equal(t, "1 problem, 0 warnings, 1 note", doctor.Summary(reports()))
}

func TestReportsAsJSONHaveListsWhereThereIsNothing(t *testing.T) {
	c := onSQLite(t)
	out, err := json.Marshal(doctor.Examine(t.Context(), c.source, c.opts))
	require.NoError(t, err)
	require.NotContains(t, string(out), "null")
	require.Contains(t, string(out), `"check":"lease.owner","subject":"outbox_leases"`)
}

func TestTheWorstComesFirst(t *testing.T) {
	eachDatabase(t, func(t *testing.T, c *clinic) {
		c.exec("DELETE FROM postroom_schema WHERE version = 3", "DROP TABLE outbox_relays")
		require.NoError(t, c.relay.Note(t.Context(), c.lease, store.Halted("halted: no")))
		rank := map[doctor.Severity]int{doctor.Problem: 0, doctor.Warning: 1, doctor.Note: 2}
		found := c.examine()
		last := 0
		for _, f := range found {
			require.GreaterOrEqual(t, rank[f.Severity], last, "%s", found.ids())
			last = rank[f.Severity]
		}
		require.Equal(t, 2, last)
	})
}
