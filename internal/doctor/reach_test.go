package doctor_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbopen"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/doctor"
	"github.com/postroom/postroom/internal/faultdb"
)

func TestASinkThatIsAwayDoesNotKeepTheDatabaseFromBeingLookedAt(t *testing.T) {
	c := onSQLite(t)
	c.insertAged("-720")
	c.source.Sink, c.source.SinkErr = nil, errors.New("nobody listens at k:9092")
	r := doctor.Examine(t.Context(), c.source, c.opts)
	found := findings(r.Findings)
	away := found.only(t, "sink.unreachable")
	requireFinding(t, away, doctor.Problem, "kafka at k:9092", "kafka-broker-api-versions.sh --bootstrap-server k:9092")
	require.Contains(t, away.What, "nobody listens")
	require.Len(t, found.all("delivery.late"), 1)
	require.False(t, r.SinkSeen)
	require.True(t, r.DatabaseSeen)
}

// The sink has answered once, and cannot be reached when it is asked for topics.
func TestASinkThatGoesAwayWhileItIsAskedIsTold(t *testing.T) {
	c := onSQLite(t)
	c.source.Sink = &fakeKafka{err: errors.New("connection reset")}
	r := doctor.Examine(t.Context(), c.source, c.opts)
	require.Contains(t, findings(r.Findings).only(t, "sink.unreachable").What, "connection reset")
	require.False(t, r.SinkSeen)
}

func TestADatabaseThatIsAwayDoesNotKeepTheSinkFromBeingLookedAt(t *testing.T) {
	kafka := &fakeKafka{topics: map[string]doctor.Topic{"orders": {Missing: true}}}
	s := healthyFacts().Source
	s.OpenErr, s.Sink, s.Topics, s.Flags = errors.New("nothing listens there"), kafka, []string{"orders"},
		" --config relay.yaml"
	r := doctor.Examine(t.Context(), s, doctor.Options{})
	found := findings(r.Findings)
	requireFinding(t, found.only(t, "database.unreachable"), doctor.Problem, "postgresql at db:5432/shop",
		"relay status --config relay.yaml")
	require.Contains(t, found.only(t, "database.unreachable").What, "nothing listens there")
	requireFinding(t, found.only(t, "topics.missing"), doctor.Problem, "topic orders", "kafka-topics.sh")
	require.False(t, r.DatabaseSeen)
	require.True(t, r.SinkSeen)
}

func TestAPoolerIsNoted(t *testing.T) {
	t.Parallel()
	c := newClinic(t, dbtest.PgBouncer(t))
	c.source.Pooler, c.source.PoolerVersion = true, dbopen.PoolerVersion(t.Context(), c.db.URL)
	pooler := c.examine().only(t, "database.pooler")
	requireFinding(t, pooler, doctor.Note, "the test's database", "")
	require.Contains(t, pooler.What, "PgBouncer 1.", "the test's user may ask its console")
	c.source.PoolerVersion = ""
	require.Contains(t, c.examine().only(t, "database.pooler").What, "is not known")
	require.Empty(t, dbopen.PoolerVersion(t.Context(), dbtest.PostgreSQL(t).URL), "a server is no pooler")
}

// A database stops answering.
func TestADatabaseThatHangsIsGivenUpInTime(t *testing.T) {
	t.Parallel()
	c := newClinic(t, dbtest.PostgreSQL(t))
	c.opts.Timeout = 300 * time.Millisecond
	c.source.DB.SetMaxOpenConns(1)
	conn, err := c.source.DB.Conn(t.Context()) // nobody else gets a connection
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	began := time.Now()
	found := c.examine()
	require.Less(t, time.Since(began), wait)
	require.Len(t, found.all("look.slow"), 3, "%s", found.ids())
	skipped := found.all("look.skipped")
	require.NotEmpty(t, skipped)
	requireFinding(t, skipped[0], doctor.Note, skipped[0].Subject, "relay doctor --config relay.yaml --timeout 30s")
}

func TestAQuestionThatFailsKeepsNothingElseFromBeingAsked(t *testing.T) {
	eachDatabase(t, func(t *testing.T, c *clinic) {
		db := faultdb.Open(c.db.DB, func(statement string) faultdb.Fault {
			if strings.Contains(statement, "FROM (SELECT topic, event_key, state, parked_at") {
				return faultdb.Fail(errors.New("disk on fire"))
			}
			return faultdb.Fault{}
		})
		defer func() { require.NoError(t, db.Close()) }()
		c.source.DB = db
		found := c.examine()
		failed := found.only(t, "look.failed")
		requireFinding(t, failed, doctor.Warning, "parked events", "relay status --config relay.yaml")
		require.Contains(t, failed.What, "disk on fire")
		require.Len(t, found.all("lease.owner"), 1)
	})
}

func TestAnEndedContextEndsTheExamination(t *testing.T) {
	c := onSQLite(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	began := time.Now()
	doctor.Examine(ctx, c.source, c.opts)
	require.Less(t, time.Since(began), wait)
}
