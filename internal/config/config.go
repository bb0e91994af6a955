package config

import (
	"log/slog"
	"time"

	"github.com/postroom/postroom/relay"
)

// Config is a complete configuration, with defaults filled in.
type Config struct {
	Sources  []Source
	Sink     Sink
	Delivery Delivery
	Inbox    Inbox
	Doctor   Doctor
	Log      Log
	// Warnings are for the operator. Everything works in spite of them.
	Warnings []string
	// Exposed are warnings about passwords in flags, for a command that keeps running.
	Exposed []string

	adminListen string
	origins     origins
}

// Source is one outbox table in one database.
type Source struct {
	Name        string
	DatabaseURL Secret
	TablePrefix string
	Schema      string
	NameGiven   bool // by a flag, a variable or the file: it is not the default

	// CommandFlags name this source on the command line of a verb, with a space before
	// each, for messages that say what to type. The command sets them.
	CommandFlags string

	key     string // of the YAML list's element, for errors
	urlName string // under which DatabaseURL was given, for errors
}

// Inbox is a consumer's database. Its URL is empty if none was given.
type Inbox struct {
	DatabaseURL Secret
	TablePrefix string
	Schema      string
}

// Sink is where records go: Kafka or AMQP, the other one is zero.
type Sink struct {
	Kafka Kafka
	AMQP  AMQP
}

// Kafka is a cluster.
type Kafka struct {
	Brokers      []string
	CreateTopics bool
	// MaxMessageBytes is the largest record and batch; 0: Kafka's default of about 1 MiB.
	MaxMessageBytes int32
	TLS             TLS
	SASL            SASL
}

// TLS encrypts connections and checks the broker's certificate.
type TLS struct {
	Enabled  bool
	CAFile   string // PEM; empty: the system's roots
	CertFile string // PEM, with KeyFile: the client's certificate
	KeyFile  string
}

// SASL is how the relay authenticates.
type SASL struct {
	Mechanism string // plain, scram-sha-256, scram-sha-512; empty: none
	Username  string
	Password  Secret
}

// AMQP is a broker such as RabbitMQ.
type AMQP struct {
	URL Secret
}

// Delivery says how records are delivered.
type Delivery struct {
	Mode        relay.Mode
	OnRejection relay.Policy
	Topics      []string // that may be delivered to; empty: every topic
	LeaseTTL    time.Duration
	PollMax     time.Duration
	Archive     bool
	ArchiveFor  time.Duration // 0: the relay's default
}

// Doctor is the configuration of relay doctor.
type Doctor struct {
	// Ignore are the findings that were accepted: an id, or an id and a subject.
	Ignore []string
}

// Log is the configuration of the log.
type Log struct {
	Level  slog.Level
	Format string // text or json
}

// Secret is a text that is not printed. Reveal returns it.
type Secret string

// Reveal returns the text itself.
func (s Secret) Reveal() string { return string(s) }

// String hides the text from the fmt package.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "(hidden)"
}

// GoString hides the text from %#v.
func (s Secret) GoString() string { return `"` + s.String() + `"` }

// MarshalText hides the text from encoders and log handlers.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue hides the text from log/slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
