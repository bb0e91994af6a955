package doctor

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/doctor/facts"
	"github.com/postroom/postroom/internal/kafkatopic"
	"github.com/postroom/postroom/internal/kafkatx"
	"github.com/postroom/postroom/migrations"
)

// maxTimeouts is the number of timeouts after which no more questions are asked. It limits how long doctor waits for a
// database that hangs.
const maxTimeouts = 3

// question is one thing to ask the database.
type question struct {
	subject string
	ask     func(context.Context, *facts.Database, *Facts) error
	// table, if not empty, is the table on which the user needs SELECT.
	table string
}

// questions are asked in this order, because later questions need earlier answers.
func questions() []question {
	return []question{
		{"the server", askServer, ""},
		{"the clock", askClock, ""},
		{"the migrations", askMigrations, "postroom_schema"},
		{"the tables", askTables, ""},
		{"the migration lock", askLock, "postroom_schema_lock"},
		{"rights", askGrants, ""},
		{"open transactions", askTransactions, ""},
		{"the lease", askLease, db.Leases},
		{"live relays", askRelays, "outbox_relays"},
		{"waiting events", askBacklog, db.Events},
		{"scheduled events", askScheduled, "outbox_scheduled"},
		{"parked events", askParked, db.Parked},
		{"ids", askIdentity, db.Events},
		{"triggers and rules", askOrder, ""},
		{"durability", askDurability, ""},
		{"dead rows", askVacuum, ""},
		{"topics in use", askTopics, db.Events},
	}
}

func (f *Facts) askDatabase(ctx context.Context) { f.askAll(ctx, questions()) }

func (f *Facts) askAll(ctx context.Context, questions []question) {
	d, err := facts.New(f.DB, f.Names, f.Timeout)
	if err != nil {
		f.missing("the database", err)
		return
	}
	slow := 0
	for _, q := range questions {
		if slow >= maxTimeouts {
			f.missing(q.subject, errSkipped)
			continue
		}
		err := q.ask(ctx, d, f)
		if db.IsTimeout(err) {
			slow++
		}
		if err != nil && !db.IsMissingTable(err) { // tables.missing reports missing tables
			f.missing(q.subject, err, f.help(q)...)
		}
	}
}

func (f *Facts) missing(subject string, err error, do ...string) {
	f.Missing = append(f.Missing, Missing{Subject: subject, Err: err, Do: do})
}

// help returns the statement that gives the user the right to ask the question.
func (f *Facts) help(q question) []string {
	switch {
	case q.table != "":
		return []string{"GRANT SELECT ON " + f.table(q.table) + " TO " + f.user() + ";"}
	case f.is(db.MySQL):
		return []string{"GRANT PROCESS ON *.* TO " + f.user() + ";"}
	case f.is(db.PostgreSQL) && f.Names.Schema != "" && f.Tables == nil:
		return []string{"GRANT USAGE ON SCHEMA " + f.Names.Schema + " TO " + f.user() + ";"}
	case f.is(db.PostgreSQL):
		return []string{"GRANT pg_read_all_stats TO " + f.user() + ";"}
	}
	return nil
}

func askServer(ctx context.Context, d *facts.Database, f *Facts) error {
	s, err := d.Server(ctx)
	if err == nil {
		f.Server = &s
	}
	return err
}

func askClock(ctx context.Context, d *facts.Database, f *Facts) (err error) {
	f.Ahead, f.Uncertainty, err = d.Clock(ctx, f.Now)
	return err
}

func askTables(ctx context.Context, d *facts.Database, f *Facts) error {
	tables, err := d.Tables(ctx)
	if err != nil {
		return err
	}
	f.Tables = tables
	for _, row := range f.Migrations {
		for _, name := range row.Tables {
			if !row.Applied {
				f.Tables[name] = false // MySQL may have hidden it
			}
		}
	}
	return nil
}

func askMigrations(ctx context.Context, _ *facts.Database, f *Facts) error {
	return f.askMigrationsOf(ctx, migrations.OutboxOnly)
}

func (f *Facts) askMigrationsOf(ctx context.Context, scope migrations.Scope) error {
	ctx, cancel := context.WithTimeout(ctx, f.Timeout)
	defer cancel()
	o := migrations.Options{Prefix: f.Names.Prefix, Schema: f.Names.Schema, Only: scope}
	err := migrations.Check(ctx, f.DB, f.Names.Dialect, o)
	for _, unusable := range []error{migrations.ErrNotMigrated, migrations.ErrTooOld, migrations.ErrTooNew} {
		if errors.Is(err, unusable) {
			f.Unusable = err
			return nil
		}
	}
	if err != nil {
		return err
	}
	f.Migrations, err = migrations.Status(ctx, f.DB, f.Names.Dialect, o)
	return err
}

func askLock(ctx context.Context, d *facts.Database, f *Facts) (err error) {
	f.Lock, err = d.MigrationLock(ctx)
	return err
}

func askGrants(ctx context.Context, d *facts.Database, f *Facts) (err error) {
	f.Grants, err = d.Grants(ctx, f.Tables)
	return err
}

func askLease(ctx context.Context, d *facts.Database, f *Facts) error {
	l, err := d.Lease(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		f.LeaseGone = true
		return nil
	}
	if err == nil {
		f.Lease = &l
	}
	return err
}

func askRelays(ctx context.Context, d *facts.Database, f *Facts) (err error) {
	f.Relays, err = d.RelayProcesses(ctx)
	return err
}

func askBacklog(ctx context.Context, d *facts.Database, f *Facts) error {
	b, err := d.Backlog(ctx)
	if err == nil {
		f.Backlog = &b
	}
	return err
}

func askScheduled(ctx context.Context, d *facts.Database, f *Facts) error {
	s, err := d.Scheduled(ctx)
	if err == nil {
		f.Scheduled = &s
	}
	return err
}

func askParked(ctx context.Context, d *facts.Database, f *Facts) error {
	p, err := d.Parked(ctx)
	if err == nil {
		f.Parked = &p
	}
	return err
}

func askTransactions(ctx context.Context, d *facts.Database, f *Facts) error {
	t, err := d.Transactions(ctx, f.MaxAge/5)
	if err != nil {
		return err
	}
	f.Transactions = &t
	if t.Hidden != 0 {
		return errHidden
	}
	return nil
}

func askIdentity(ctx context.Context, d *facts.Database, f *Facts) error {
	i, err := d.Identity(ctx)
	if err == nil && (f.Tables == nil || f.Tables[db.Events]) {
		f.Identity = &i
	}
	return err
}

func askOrder(ctx context.Context, d *facts.Database, f *Facts) error {
	o, err := d.Order(ctx)
	if err != nil {
		return err
	}
	f.Order = &o
	if o.Hidden {
		f.missing("triggers", errHidden, "GRANT TRIGGER ON "+f.table(db.Events)+" TO "+f.user()+";")
	}
	return nil
}

func askDurability(ctx context.Context, d *facts.Database, f *Facts) error {
	v, err := d.Durability(ctx)
	if err == nil {
		f.Durability = &v
	}
	return err
}

func askVacuum(ctx context.Context, d *facts.Database, f *Facts) error {
	v, err := d.Vacuum(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil // the table does not exist, or the server has no statistics
	}
	if err == nil {
		f.Vacuum = &v
	}
	return err
}

func askTopics(ctx context.Context, d *facts.Database, f *Facts) (err error) {
	f.Used, err = d.Topics(ctx)
	return err
}

// askSink asks Kafka for the topics in use, those configured, and the manifest.
func (f *Facts) askSink(ctx context.Context) {
	cluster, err := bounded(ctx, f, f.Sink.Cluster)
	if err != nil {
		f.SinkErr = err
		return
	}
	f.Cluster = &cluster
	var names []string
	for _, name := range f.topicNames() {
		if !kafkatopic.Valid(name) {
			continue // with it, Kafka would reject the whole request
		}
		names = append(names, name)
	}
	if f.ExactlyOnce && f.Lease != nil && f.Lease.SourceID != "" {
		names = append(names, manifestTopic(f.Lease.SourceID))
	}
	found := map[string]Topic{}
	if len(names) > 0 {
		found, err = bounded(ctx, f, func(ctx context.Context) (map[string]Topic, error) {
			return f.Sink.Topics(ctx,
				names...)
		})
		if err != nil {
			f.SinkErr = err
			return
		}
	}
	f.askOpen(ctx, found)
	for _, name := range f.topicNames() {
		if !kafkatopic.Valid(name) {
			found[name] = Topic{Missing: true}
		}
	}
	f.Found = found
}

// askOpen asks for open transactions in the topics that exist.
func (f *Facts) askOpen(ctx context.Context, found map[string]Topic) {
	var names []string
	for name, t := range found {
		if len(t.Partitions) > 0 {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return
	}
	slices.Sort(names)
	open, err := bounded(ctx, f, func(ctx context.Context) ([]kafkatx.Open, error) {
		return f.Sink.Open(ctx, f.MaxAge/5,
			names...)
	})
	if err != nil {
		f.missing("open transactions in Kafka", err, f.kafkaTool("kafka-transactions.sh")+" find-hanging --broker-id …")
	}
	f.Open = open
}

func bounded[T any](ctx context.Context, f *Facts, ask func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, f.Timeout)
	defer cancel()
	return ask(ctx)
}
