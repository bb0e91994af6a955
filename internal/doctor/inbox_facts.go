package doctor

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/doctor/facts"
	inboxstore "github.com/postroom/postroom/internal/store/inbox"
	"github.com/postroom/postroom/migrations"
)

// InboxOptions are the options for a consumer's database.
type InboxOptions struct {
	Options
	// Retention is how long consumers keep their rows. 0 means not known; with daily partitions the tables have it.
	Retention time.Duration
}

// InboxFacts are the answers about the inbox. A nil field means that the query was not answered.
type InboxFacts struct {
	Retention   time.Duration // of InboxOptions
	Status      *inboxstore.Status
	Layout      inboxstore.Layout
	Days        *facts.Days
	Loose       []facts.Blocked
	Waits       []inboxstore.LockWait
	Groups      []GroupOffset     // the offsets of the groups in Status
	TopicIDs    map[string]string // the ids of their topics, by name
	VacuumTable string            // the table of Facts.Vacuum, without prefix
}

// ExamineInbox checks the inbox of a consumer's database. It takes a minute at most, and no longer than ctx. Safe for
// concurrent use.
func ExamineInbox(ctx context.Context, s Source, o InboxOptions) Report {
	f := &Facts{Source: s, Options: o.Options.withDefaults(), Inbox: &InboxFacts{Retention: o.Retention}}
	if s.Sink != nil {
		if _, err := bounded(ctx, f, s.Sink.Cluster); err != nil {
			f.SinkErr = err
		}
	}
	if s.DB != nil {
		f.askAll(ctx, inboxQuestions())
	}
	return Report{Source: s.Name, Database: s.Where, Inbox: true, DatabaseSeen: s.DB != nil, Findings: f.CheckInbox()}
}

func inboxQuestions() []question {
	return []question{
		{"the server", askServer, ""},
		{"the migrations", func(ctx context.Context, _ *facts.Database, f *Facts) error {
			return f.askMigrationsOf(ctx, migrations.InboxOnly)
		}, "postroom_schema"},
		{"the tables", askInboxTables, ""},
		{"rights", askInboxGrants, ""},
		{"the inbox", askInboxStatus, db.InboxEvents},
		{"blocked keys", askLooseKeys, db.InboxBlocked},
		{"sessions that wait for a lock", askInboxWaits, ""},
		{"daily partitions", askDays, db.InboxExpiry},
		{"dead rows", askInboxVacuum, ""},
		{"the groups' offsets in Kafka", askGroups, ""},
	}
}

func askInboxTables(ctx context.Context, d *facts.Database, f *Facts) (err error) {
	f.Tables, err = d.InboxTables(ctx)
	return err
}

func askInboxGrants(ctx context.Context, d *facts.Database, f *Facts) (err error) {
	f.Grants, err = d.InboxGrants(ctx, f.Tables)
	return err
}

func askInboxStatus(ctx context.Context, _ *facts.Database, f *Facts) error {
	ctx, cancel := context.WithTimeout(ctx, f.Timeout)
	defer cancel()
	s, err := inboxstore.ReadStatus(ctx, f.DB, f.Names, "")
	if err == nil {
		f.Inbox.Status = &s
	}
	return err
}

func askLooseKeys(ctx context.Context, d *facts.Database, f *Facts) (err error) {
	f.Inbox.Loose, err = d.LooseKeys(ctx)
	return err
}

func askInboxWaits(ctx context.Context, d *facts.Database, f *Facts) (err error) {
	f.Inbox.Waits, err = d.InboxWaits(ctx)
	return err
}

func askDays(ctx context.Context, d *facts.Database, f *Facts) error {
	asking, cancel := context.WithTimeout(ctx, f.Timeout)
	defer cancel()
	tables, err := inboxstore.New(f.Names)
	if err != nil {
		return err
	}
	layout, err := tables.Layout(asking, f.DB)
	if f.Inbox.Layout = layout; err != nil || !layout.Daily {
		return err
	}
	days, err := d.Days(ctx)
	if err == nil {
		f.Inbox.Days = &days
	}
	return err
}

func askInboxVacuum(ctx context.Context, d *facts.Database, f *Facts) error {
	v, table, err := d.InboxVacuum(ctx, f.Inbox.Layout)
	if errors.Is(err, sql.ErrNoRows) {
		return nil // the table does not exist, or the server has no statistics
	}
	if err == nil {
		f.Vacuum, f.Inbox.VacuumTable = &v, table
	}
	return err
}
