package doctor

import (
	"database/sql"
	"slices"
	"strings"
	"time"

	"github.com/postroom/postroom/internal/dialect"
	"github.com/postroom/postroom/internal/doctor/facts"
	"github.com/postroom/postroom/internal/kafkatx"
	"github.com/postroom/postroom/migrations"
)

// Source is what to examine, and how it is configured.
type Source struct {
	Name  string // as configured
	Names dialect.Names
	Where string // the database, without user and password

	// DB is nil if the database could not be opened: OpenErr says why.
	DB      *sql.DB
	OpenErr error

	// Pooler: a pooler such as pgbouncer stands before PostgreSQL. PoolerVersion is
	// what it says of itself; empty: it does not tell.
	Pooler        bool
	PoolerVersion string

	// Sink is nil if there is none to look at, or it could not be reached: SinkErr.
	Sink    Kafka
	SinkErr error
	At      string   // the sink, for messages
	Brokers []string // for commands

	ExactlyOnce    bool
	CreateTopics   bool
	MaxRecordBytes int64    // that the relay sends
	Topics         []string // that are configured, without patterns

	// Flags are what the relay's commands need to name this source, with a space
	// before each: ` --config relay.yaml`. RunFlags are those of `relay run`, one an element.
	Flags    string
	RunFlags []string
}

// Options say when something is late.
type Options struct {
	// MaxAge is the age of the oldest undelivered event, or of a transaction, that is
	// a problem. Default 5 minutes. A fifth of it is worth a warning.
	MaxAge time.Duration
	// Timeout bounds each question to a database or a broker. Default 5 seconds.
	Timeout time.Duration
	// Ignore are accepted findings, as CheckIgnore wants them: they are reported, and
	// do not count.
	Ignore []string
	// Now is the host's clock. Default time.Now.
	Now func() time.Time
}

func (o Options) withDefaults() Options {
	if o.MaxAge == 0 {
		o.MaxAge = 5 * time.Minute
	}
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Facts are the answers. A nil pointer, slice or map was not answered: why is in
// Missing, or nobody was asked.
type Facts struct {
	Source
	Options

	Server       *facts.Server
	Ahead        time.Duration // the database's clock, of ours
	Uncertainty  time.Duration
	Tables       facts.Tables
	Migrations   []migrations.StatusRow
	Refused      error // why the relay would not start with these tables
	Lock         *facts.MigrationLock
	Grants       []facts.Grant
	Lease        *facts.Lease
	LeaseGone    bool // the row is not there
	Relays       []facts.Relay
	Backlog      *facts.Backlog
	Scheduled    *facts.Scheduled
	Parked       *facts.Parked
	Transactions *facts.Transactions
	Vacuum       *facts.Vacuum
	Identity     *facts.Identity
	Order        *facts.Order
	Durability   *facts.Durability
	Used         []facts.Topic // topics that events are for

	Cluster *Cluster
	Found   map[string]Topic // by name; asked for: Used, Topics and the manifest
	Open    []kafkatx.Open   // in those

	Inbox *InboxFacts // of a consumer's database

	Missing []Missing
}

// Missing is a question that was not answered.
type Missing struct {
	Subject string
	Err     error
	Do      []string // what would help
}

// table is a table's name as the operator says it.
func (f *Facts) table(name string) string { return f.Names.Plain(name) }

// relay returns a command line of the relay's for this source.
func (f *Facts) relay(command string) string { return "relay " + command + f.Flags }

// run returns the command line that starts a relay.
func (f *Facts) run() string { return "relay run" + strings.Join(f.RunFlags, "") }

// runWith returns the command line that starts a relay with that flag, which takes the place of
// what the command line said: of two, the last one counts.
func (f *Facts) runWith(flag, value string) string {
	others := slices.DeleteFunc(slices.Clone(f.RunFlags), func(text string) bool {
		return strings.HasPrefix(text, " --"+flag+" ") || strings.HasPrefix(text, " --"+flag+"=")
	})
	return "relay run" + strings.Join(others, "") + " --" + flag + " " + value
}

// again returns the command line that examines once more.
func (f *Facts) again() string {
	if f.Inbox != nil {
		return f.relay("inbox doctor")
	}
	return "relay doctor" + strings.Join(f.RunFlags, "")
}

func (f *Facts) runExactlyOnce() string { return f.runWith("mode", "exactly-once") }

// is tells the source's database.
func (f *Facts) is(d dialect.Dialect) bool { return f.Names.Dialect == d }

// user is who would get a GRANT.
func (f *Facts) user() string {
	if f.Server != nil && f.Server.User != "" {
		return f.Server.User
	}
	return "…"
}

// bootstrap are the brokers' addresses for Kafka's own commands.
func (f *Facts) bootstrap() string { return strings.Join(f.Brokers, ",") }

// kafkaTool returns the start of a command line of Kafka's own.
func (f *Facts) kafkaTool(name string) string {
	return name + " --bootstrap-server " + f.bootstrap()
}
