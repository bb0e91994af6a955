package doctor_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	sqldb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/doctor"
	"github.com/postroom/postroom/internal/kafkatx"
	store "github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/migrations"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wait is how long a test waits for something to happen.
const wait = 30 * time.Second

// clinic is an installation without a fault, until a test makes one.
type clinic struct {
	t      testing.TB
	db     dbtest.Database
	names  sqldb.Names
	lease  store.Lease
	relay  *store.Store
	source doctor.Source
	opts   doctor.Options
}

// newClinic migrates db and claims the source for a minute.
func newClinic(t testing.TB, db dbtest.Database) *clinic {
	t.Helper()
	// Create the tables as an operator does, because doctor also looks at the migration lock.
	_, err := migrations.Apply(t.Context(), db.DB, db.Dialect, migrations.Options{})
	require.NoError(t, err)
	c := &clinic{t: t, db: db, names: sqldb.Names{Dialect: db.Dialect}}
	c.source = doctor.Source{
		Name: "default", Names: c.names, Where: "the test's database", DB: db.DB,
		Sink: &fakeKafka{}, At: "kafka at k:9092", Brokers: []string{"k:9092"}, MaxRecordBytes: 1_048_588,
		Flags: " --config relay.yaml", RunFlags: []string{" --config relay.yaml"},
	}
	c.opts.Timeout = wait // the machine is busy; tests of the limit set their own
	c.relay, err = store.New(db.DB, c.names, store.Options{})
	require.NoError(t, err)
	c.take()
	return c
}

// take names the source and claims its lease for a minute.
func (c *clinic) take() {
	c.t.Helper()
	_, err := c.relay.Inspect(c.t.Context(), "default")
	require.NoError(c.t, err)
	c.claim(time.Minute)
}

// claim takes the lease, which must be free.
func (c *clinic) claim(ttl time.Duration) {
	c.t.Helper()
	l, ok, err := c.relay.Claim(c.t.Context(), store.Claim{Owner: uuid.New(), Mode: "at-least-once", TTL: ttl})
	require.NoError(c.t, err)
	require.True(c.t, ok)
	require.NoError(c.t, c.relay.Note(c.t.Context(), l, store.Mode("at-least-once")))
	c.lease = l
}

func (c *clinic) exec(statements ...string) {
	c.t.Helper()
	for _, s := range statements {
		_, err := c.db.DB.ExecContext(c.t.Context(), s)
		require.NoError(c.t, err, s)
	}
}

// insert adds an event for topic orders.
func (c *clinic) insert() { c.exec("INSERT INTO outbox_events (topic) VALUES ('orders')") }

// as makes doctor connect as a new user who has only these rights.
func (c *clinic) as(grants ...string) {
	c.t.Helper()
	c.source.DB = dbtest.Restricted(c.t, c.db, grants...).DB
}

func (c *clinic) examine() findings {
	c.t.Helper()
	r := doctor.Examine(c.t.Context(), c.source, c.opts)
	requireKnown(c.t, r.Findings)
	return r.Findings
}

// requireKnown checks that every finding is in the list of checks.
func requireKnown(t testing.TB, found []doctor.Finding) {
	t.Helper()
	known := map[string][]doctor.Severity{}
	for _, c := range doctor.Checks() {
		known[c.ID] = c.Severities
	}
	for _, f := range found {
		require.Contains(t, known, f.Check)
		require.Contains(t, known[f.Check], f.Severity, "%s", f.Check)
		require.NotEmpty(t, f.Subject, "%s", f.Check)
		require.NotEmpty(t, f.What, "%s", f.Check)
		require.NotEmpty(t, f.Why, "%s", f.Check)
		require.NotNil(t, f.Do, "%s", f.Check)
	}
}

type findings []doctor.Finding

// only returns the single finding of a check.
func (f findings) only(t testing.TB, check string) doctor.Finding {
	t.Helper()
	all := f.all(check)
	require.Len(t, []doctor.Finding(all), 1, "%s among %s", check, f.ids())
	return all[0]
}

// ids lists the findings, for messages.
func (f findings) ids() string {
	var b strings.Builder
	for _, one := range f {
		fmt.Fprintf(&b, "\n%s %s (%s): %s", one.Severity, one.Check, one.Subject, one.What)
	}
	return b.String()
}

func (f findings) all(check string) findings {
	var all findings
	for _, one := range f {
		if one.Check == check {
			all = append(all, one)
		}
	}
	return all
}

// worse returns the problems and warnings.
func (f findings) worse() findings {
	var all findings
	for _, one := range f {
		if one.Severity != doctor.Note {
			all = append(all, one)
		}
	}
	return all
}

// requireFinding checks the severity, the subject and the command to type.
func requireFinding(t testing.TB, f doctor.Finding, s doctor.Severity, subject, command string) {
	t.Helper()
	require.Equal(t, s, f.Severity, "%+v", f)
	require.Equal(t, subject, f.Subject, "%+v", f)
	require.Contains(t, strings.Join(f.Do, "\n"), command, "%+v", f)
}

// fakeKafka answers like a cluster without a fault, except for what a test sets.
type fakeKafka struct {
	groups  []doctor.GroupOffset
	onAsk   func() // called when somebody asks for groups
	cluster *doctor.Cluster
	topics  map[string]doctor.Topic
	open    []kafkatx.Open
	err     error
	asked   []string

	groupsErr error // error of Committed only
}

func (k *fakeKafka) Open(context.Context, time.Duration, ...string) ([]kafkatx.Open, error) {
	return k.open, k.err
}

func (k *fakeKafka) Cluster(context.Context) (doctor.Cluster, error) {
	if k.cluster != nil {
		return *k.cluster, k.err
	}
	return doctor.Cluster{Brokers: 3, InitProducerID: 5, TransactionVersion: 2}, k.err
}

func (k *fakeKafka) Committed(context.Context, ...string) ([]doctor.GroupOffset, error) {
	if k.onAsk != nil {
		k.onAsk()
	}
	return k.groups, errors.Join(k.err, k.groupsErr)
}

func (k *fakeKafka) Topics(_ context.Context, names ...string) (map[string]doctor.Topic, error) {
	k.asked = append(k.asked, names...)
	found := map[string]doctor.Topic{}
	for _, name := range names {
		t, ok := k.topics[name]
		if !ok {
			t = goodTopic()
		}
		found[name] = t
	}
	return found, k.err
}

func goodTopic() doctor.Topic {
	return doctor.Topic{
		Partitions: []doctor.Partition{{ID: 0, Leader: 1, Replicas: 3, InSync: 3}, {ID: 1, Leader: 2, Replicas: 3,
			InSync: 3}},
		Config: map[string]string{
			"min.insync.replicas": "2", "max.message.bytes": "1048588", "cleanup.policy": "delete",
			"unclean.leader.election.enable": "false",
		},
	}
}

// step is a test on a database that earlier steps have used.
type step struct {
	name string
	run  func(t *testing.T, c *clinic)
}

// steps runs all steps on every kind of database, one after another. A new database for each step would take
// longer than the step.
func steps(t *testing.T, all ...step) {
	t.Helper()
	eachDatabase(t, func(t *testing.T, c *clinic) {
		source, opts := c.source, c.opts
		for _, s := range all {
			t.Run(s.name, func(t *testing.T) {
				c.t, c.source, c.opts = t, source, opts
				for _, table := range []string{"events", "parked", "scheduled", "archive", "relays", "drops",
					"leases"} {
					c.exec("DELETE FROM outbox_" + table)
				}
				c.exec("INSERT INTO outbox_leases (id) VALUES (1)")
				c.take()
				s.run(t, c)
			})
		}
	})
}

// eachDatabase runs fn on each kind of database.
func eachDatabase(t *testing.T, fn func(t *testing.T, c *clinic)) {
	t.Helper()
	on(t, fn, map[string]func(testing.TB) dbtest.Database{
		dbtest.FlavorPostgreSQL15: dbtest.PostgreSQL, dbtest.FlavorMariaDB: dbtest.MariaDB,
		dbtest.FlavorSQLite: dbtest.SQLite,
	})
}

// everyDatabase also runs fn on each version, and through pgbouncer.
func everyDatabase(t *testing.T, fn func(t *testing.T, c *clinic)) {
	t.Helper()
	on(t, fn, map[string]func(testing.TB) dbtest.Database{
		dbtest.FlavorPostgreSQL15: dbtest.PostgreSQL, dbtest.FlavorMariaDB: dbtest.MariaDB,
		dbtest.FlavorSQLite:       dbtest.SQLite,
		dbtest.FlavorPostgreSQL18: dbtest.PostgreSQL18, dbtest.FlavorPgBouncer: dbtest.PgBouncer,
	})
}

func on(t *testing.T, fn func(t *testing.T, c *clinic), databases map[string]func(testing.TB) dbtest.Database) {
	t.Helper()
	for name, fresh := range databases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fn(t, newClinic(t, fresh(t)))
		})
	}
}

// onPostgres runs fn on the older version only. The tests of a healthy installation run every query on the
// newer one.
func onPostgres(t *testing.T, fn func(t *testing.T, c *clinic)) {
	t.Helper()
	on(t, fn, map[string]func(testing.TB) dbtest.Database{dbtest.FlavorPostgreSQL15: dbtest.PostgreSQL})
}

// eachPostgres runs fn on both versions.
func eachPostgres(t *testing.T, fn func(t *testing.T, c *clinic)) {
	t.Helper()
	on(t, fn, map[string]func(testing.TB) dbtest.Database{
		dbtest.FlavorPostgreSQL15: dbtest.PostgreSQL, dbtest.FlavorPostgreSQL18: dbtest.PostgreSQL18,
	})
}

// onMariaDB returns a clinic on MariaDB.
func onMariaDB(t *testing.T) *clinic {
	t.Helper()
	t.Parallel()
	return newClinic(t, dbtest.MariaDB(t))
}

func onSQLite(t *testing.T) *clinic {
	t.Helper()
	t.Parallel()
	return newClinic(t, dbtest.SQLite(t))
}
