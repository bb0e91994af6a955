package doctor

import (
	"database/sql"
	"slices"
	"strings"
	"time"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/doctor/facts"
	"github.com/postroom/postroom/internal/kafkatx"
	"github.com/postroom/postroom/migrations"
)

// Source is a source to examine, and its configuration.
type Source struct {
	Name  string // as configured
	Names db.Names
	Where string // the database, without user and password

	// DB is nil if the database could not be opened. Then OpenErr says why.
	DB      *sql.DB
	OpenErr error

	// Pooler is true if the connection goes through a pooler such as pgbouncer. PoolerVersion is the pooler's own text,
	// and empty if it does not tell.
	Pooler        bool
	PoolerVersion string

	// Sink is nil if there is no sink, or if it could not be reached. Then SinkErr says why.
	Sink    Kafka
	SinkErr error
	// Exchanges is RabbitMQ, if that is the sink and can be reached. Sink is nil then.
	Exchanges Exchanges
	At        string   // the sink, for messages
	Brokers   []string // for commands

	ExactlyOnce    bool
	CreateTopics   bool
	MaxRecordBytes int64    // the largest record that the relay sends
	Topics         []string // the configured topics, without patterns

	// Flags are the flags with which the relay's commands find this source, each with a space before it:
	// ` --config relay.yaml`. RunFlags are the flags of `relay run`, one per element.
	Flags    string
	RunFlags []string
}

// Options has the limits of the checks.
type Options struct {
	// MaxAge is the age from which an undelivered event or an open transaction is a problem. A fifth of it is a
	// warning. Default 5 minutes.
	MaxAge time.Duration
	// Timeout limits each query to a database or a broker. Default 5 seconds.
	Timeout time.Duration
	// Ignore has accepted findings, in the form that CheckIgnore accepts. They are reported but do not count.
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

// Facts are the answers of the database and of Kafka. A nil pointer, slice or map has no answer: Missing says why, or
// the question was not asked.
type Facts struct {
	Source
	Options

	Server       *facts.Server
	Ahead        time.Duration // how far the database's clock is ahead of this host's
	Uncertainty  time.Duration
	Tables       facts.Tables
	Migrations   []migrations.StatusRow
	Unusable     error // why the relay would not start with these tables
	Lock         *facts.MigrationLock
	Grants       []facts.Grant
	Lease        *facts.Lease
	LeaseGone    bool // the row is missing
	Relays       []facts.Relay
	Backlog      *facts.Backlog
	Scheduled    *facts.Scheduled
	Parked       *facts.Parked
	Transactions *facts.Transactions
	Vacuum       *facts.Vacuum
	Identity     *facts.Identity
	Order        *facts.Order
	Durability   *facts.Durability
	Used         []facts.Topic // topics of waiting events

	Cluster *Cluster
	Found   map[string]Topic // by name: Used, Topics and the manifest
	Open    []kafkatx.Open   // in the topics of Found

	MissingExchanges map[string]bool // by topic: Used and Topics

	Inbox *InboxFacts // of a consumer's database

	Missing []Missing
}

// Missing is a question that was not answered.
type Missing struct {
	Subject string
	Err     error
	Do      []string // what gives the missing right
}

// table returns a table's name for messages.
func (f *Facts) table(name string) string { return f.Names.Plain(name) }

// relay returns a command line for this source.
func (f *Facts) relay(command string) string { return "relay " + command + f.Flags }

// run returns the command line that starts a relay.
func (f *Facts) run() string { return "relay run" + strings.Join(f.RunFlags, "") }

// runWith returns the command line that starts a relay with a changed flag.
func (f *Facts) runWith(flag, value string) string {
	others := slices.DeleteFunc(slices.Clone(f.RunFlags), func(text string) bool {
		return strings.HasPrefix(text, " --"+flag+" ") || strings.HasPrefix(text, " --"+flag+"=")
	})
	return "relay run" + strings.Join(others, "") + " --" + flag + " " + value
}

// again returns the command line that runs doctor again.
func (f *Facts) again() string {
	if f.Inbox != nil {
		return f.relay("inbox doctor")
	}
	return "relay doctor" + strings.Join(f.RunFlags, "")
}

func (f *Facts) runExactlyOnce() string { return f.runWith("mode", "exactly-once") }

// is reports whether the source's database is of dialect d.
func (f *Facts) is(d db.Dialect) bool { return f.Names.Dialect == d }

// user returns the user that needs a GRANT.
func (f *Facts) user() string {
	if f.Server != nil && f.Server.User != "" {
		return f.Server.User
	}
	return "…"
}

// sinkSeen reports whether the sink can be reached from here.
func (f *Facts) sinkSeen() bool { return (f.Sink != nil || f.Exchanges != nil) && f.SinkErr == nil }

// bootstrap returns the brokers' addresses for Kafka's own commands.
func (f *Facts) bootstrap() string { return strings.Join(f.Brokers, ",") }

// kafkaTool returns the beginning of a command line of a Kafka tool.
func (f *Facts) kafkaTool(name string) string {
	return name + " --bootstrap-server " + f.bootstrap()
}
