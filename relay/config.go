package relay

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/relay/internal/assignment"
)

// Dialect names a family of databases that speak the same SQL.
type Dialect = db.Dialect

// The dialects that Postroom speaks.
const (
	PostgreSQL = db.PostgreSQL // PostgreSQL 15 and later
	MySQL      = db.MySQL      // MySQL 8 and MariaDB 10.6, and later
	SQLite     = db.SQLite     // SQLite 3.35 and later
)

// Mode says how often an event may reach consumers.
type Mode string

// The modes.
const (
	// AtLeastOnce: after a crash or a lost lease some events are delivered again.
	AtLeastOnce Mode = "at-least-once"
	// ExactlyOnce: each event is in exactly one committed transaction of the broker.
	ExactlyOnce Mode = "exactly-once"
)

// Policy says what happens to an event that the sink rejects permanently.
type Policy string

// The policies.
const (
	// BlockKey parks the event. Later events of its key are parked behind it, in order. Events of other keys
	// are delivered. An event without a key is parked alone.
	BlockKey Policy = "block-key"
	// Skip parks the event alone. Later events of its key overtake it.
	Skip Policy = "skip"
	// Halt stops the source. Nothing is parked.
	Halt Policy = "halt"
)

// Modes lists the modes, the default first.
func Modes() []Mode { return []Mode{AtLeastOnce, ExactlyOnce} }

// Policies lists the policies, the default first.
func Policies() []Policy { return []Policy{BlockKey, Skip, Halt} }

// DefaultSource is the name of a source that was given none.
const DefaultSource = "default"

// Config says what to relay and how. DB, Dialect and Sink are required; the zero value
// of every other field is its default.
type Config struct {
	// DB is the database of the outbox table. It must be the primary, never a standby. The relay uses up to
	// five of its connections at a time and does not close it. The connections must not have a transaction
	// open. The relay expects READ COMMITTED.
	DB *sql.DB

	// LeaseDB, if given, is a second pool of connections to the same database, used only for the lease. It is
	// useful when many sources share one DB: renewals then do not wait for a connection behind slow reads,
	// which could lose the lease. One or two connections are enough for any number of sources. Default: DB.
	LeaseDB *sql.DB

	// Member is this operating system process. Give all relays of the process the same Member. If several
	// processes relay the same sources, each then owns about the same number of them, and a process that
	// joins gets its share within a few LeaseTTL. Default: a Member for each relay, which then counts as a
	// process of its own.
	Member *Member

	// Dialect is the database's.
	Dialect Dialect

	// Sink is where records go, for example one of relaykafka or relaywatermill.
	Sink Sink

	// Source is this outbox's name in logs and metrics. The first relay writes it into
	// the table, and a relay with another name fails to start from then on. Default: "default".
	Source string

	// TablePrefix and Schema are those of the migrations. Default: none.
	TablePrefix, Schema string

	// Mode says what a crash may cause. AtLeastOnce: duplicates. ExactlyOnce: no duplicates for consumers
	// that read only committed records, at the price of some throughput. ExactlyOnce needs a Sink that is
	// Transactional. Default: AtLeastOnce.
	Mode Mode

	// OnRejection says what happens to an event that the sink rejects permanently, and to later events of its
	// key: BlockKey, Skip or Halt. Default: BlockKey.
	OnRejection Policy

	// Topics are the topics that the relay may deliver to. A name that ends with * stands for all topics with
	// that prefix. An event for another topic is a rejection. Default: every topic.
	Topics []string

	// LeaseTTL is how long an owner may be silent before another relay takes over. So it is the longest pause
	// in delivery after a crash. A short lease may take a slow database for a dead owner. On SQLite a renewal
	// waits while others write, so use 30 s where transactions may last for seconds. 500 ms to 10 minutes;
	// default 5 s.
	LeaseTTL time.Duration

	// PollMax is the longest time between two reads while events arrive now and then. The relay reads again
	// at once after a full batch, and every 250 ms after 10 s without an event. 1 ms to 250 ms; default 25
	// ms. Relay.Wake ends a wait early.
	PollMax time.Duration

	// DrainTimeout is how long Run waits, after its context has ended, for records that the sink has not
	// acknowledged. After that the lease is not released, but expires. Default 10 s.
	DrainTimeout time.Duration

	// MaxInFlight bounds the number of records that were read and not yet deleted, and MaxInFlightBytes
	// bounds their size in memory, with overhead. Together they bound the relay's memory, however large the
	// backlog is. The last record that was read may exceed the bytes. Defaults 20000 and 24 MiB.
	MaxInFlight      int
	MaxInFlightBytes int64

	// BatchSize is the most rows that one read returns, in addition to those in flight. In exactly-once mode
	// it is also the most records of one transaction: a commit costs the same, however many records it has.
	// At most MaxInFlight; default 5000.
	BatchSize int

	// Archive keeps delivered events in outbox_archive, with their position in Kafka, for `relay replay` and
	// `relay trace`. The transaction that deletes an event also writes it there. This about doubles the
	// database's cost of a delivery: `bench archive` measures it. Run fails if the table does not exist.
	Archive bool

	// ArchiveFor is how long the archive keeps an event. Older events are purged in small steps. Only with
	// Archive. At least a minute; default 7 days.
	ArchiveFor time.Duration

	// RetryMin and RetryMax bound the pause after an outage of the database or the sink. The pause doubles
	// from RetryMin to RetryMax, with jitter. Defaults 50 ms and 5 s.
	RetryMin, RetryMax time.Duration

	// Logger receives one line per change of state. Default: slog.Default().
	Logger *slog.Logger

	// sweepEvery is how often the table is searched for rows that no read found.
	sweepEvery time.Duration
	// answerTimeout bounds a statement. It does not measure speed. It turns two cases into an error that
	// would show no sign otherwise: a connection that is dead while that of the renewals is alive, and a
	// delete that waits for a row which somebody has locked and forgotten.
	answerTimeout time.Duration

	// These fields are for tests. Their defaults are the constants of the same names.
	unreachableAfter, unreachableGrace, sinkCheckEvery, sinkCheckTimeout time.Duration
	// purgeEvery is how often the archive is searched for rows that are old enough to purge.
	purgeEvery time.Duration
	// requestsEvery is how often the relay looks for parked rows that operators want sent or dropped.
	// confirmEvery is how often it saves the sink's position.
	requestsEvery, confirmEvery time.Duration
	// lockedEvery is how often the relay tries again to delete rows that somebody has locked.
	lockedEvery time.Duration
	// maxGaps is the highest number of ranges in one read.
	maxGaps int
}

func (c Config) withDefaults() Config {
	setDefault(&c.Source, DefaultSource)
	setDefault(&c.Mode, AtLeastOnce)
	setDefault(&c.OnRejection, BlockKey)
	setDefault(&c.LeaseTTL, 5*time.Second)
	setDefault(&c.PollMax, 25*time.Millisecond)
	setDefault(&c.DrainTimeout, 10*time.Second)
	window := DefaultWindow()
	setDefault(&c.MaxInFlight, window.MaxInFlight)
	setDefault(&c.MaxInFlightBytes, window.MaxInFlightBytes)
	setDefault(&c.BatchSize, min(window.BatchSize, c.MaxInFlight))
	setDefault(&c.RetryMin, 50*time.Millisecond)
	setDefault(&c.RetryMax, max(5*time.Second, c.RetryMin))
	setDefault(&c.sweepEvery, 5*time.Second)
	setDefault(&c.answerTimeout, time.Minute)
	setDefault(&c.unreachableAfter, unreachableAfter)
	setDefault(&c.unreachableGrace, unreachableGrace)
	setDefault(&c.sinkCheckEvery, sinkCheckEvery)
	setDefault(&c.sinkCheckTimeout, sinkCheckTimeout)
	setDefault(&c.purgeEvery, time.Minute)
	setDefault(&c.maxGaps, 512)
	setDefault(&c.lockedEvery, 5*time.Second)
	if c.Archive {
		setDefault(&c.ArchiveFor, 7*24*time.Hour)
	}
	setDefault(&c.requestsEvery, requestsEvery)
	setDefault(&c.confirmEvery, confirmEvery)
	if c.LeaseDB == nil {
		c.LeaseDB = c.DB
	}
	if c.Member == nil {
		c.Member = NewMember()
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

// Member is this operating system process, as one of the processes that relay the same sources. Give all
// relays of one process the same Member: the members compare how many sources each of them owns, and share
// the sources evenly. A Member needs no closing, and is safe for concurrent use. NewMember creates it.
type Member struct{ counts *assignment.Member }

// NewMember returns a Member with an id of its own. A process needs one; see Config.Member.
func NewMember() *Member { return &Member{assignment.NewMember()} }

// ID is the id of this process in the tables outbox_relays.
func (p *Member) ID() uuid.UUID { return p.counts.ID() }

// Owned is how many sources the process owns now.
func (p *Member) Owned() int { return p.counts.Owned() }

// Window bounds the records that a relay may have read and not deleted yet, like the fields of Config with
// these names.
type Window struct {
	MaxInFlight, BatchSize int
	MaxInFlightBytes       int64
}

// DefaultWindow is the window of a relay whose Config sets none. Twice as many records in exactly-once mode
// made garbage collection use a fifth more of the processor, and a drain was no faster.
func DefaultWindow() Window {
	return Window{MaxInFlight: 20000, BatchSize: 5000, MaxInFlightBytes: 24 << 20}
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// validate returns one error that names every invalid field.
func (c Config) validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.DB != nil, "DB is nil: pass the outbox table's database")
	check(c.Sink != nil, "Sink is nil: pass where records go, for example relaykafka.New(…)")
	if err := c.names().Validate(); err != nil {
		errs = append(errs, err)
	}
	check(len([]rune(c.Source)) <= 249, "Source has %d characters: at most 249", len([]rune(c.Source)))
	errs = append(errs, c.validateDelivery()...)
	check(c.LeaseTTL >= 500*time.Millisecond && c.LeaseTTL <= 10*time.Minute, "LeaseTTL is %v: want 500ms to 10m",
		c.LeaseTTL)
	check(c.PollMax >= time.Millisecond && c.PollMax <= 250*time.Millisecond, "PollMax is %v: want 1ms to 250ms",
		c.PollMax)
	check(c.DrainTimeout > 0, "DrainTimeout is %v: want more than 0", c.DrainTimeout)
	check(c.MaxInFlight > 0, "MaxInFlight is %d: want at least 1", c.MaxInFlight)
	check(c.MaxInFlightBytes > 0, "MaxInFlightBytes is %d: want at least 1", c.MaxInFlightBytes)
	check(c.BatchSize > 0 && c.BatchSize <= c.MaxInFlight, "BatchSize is %d: want 1 to MaxInFlight, %d",
		c.BatchSize, c.MaxInFlight)
	check(c.Archive || c.ArchiveFor == 0, "ArchiveFor is %v without Archive: set Archive, or leave it out",
		c.ArchiveFor)
	check(!c.Archive || c.ArchiveFor >= time.Minute, "ArchiveFor is %v: want at least 1m", c.ArchiveFor)
	check(c.RetryMin > 0 && c.RetryMin <= c.RetryMax,
		"RetryMin is %v and RetryMax %v: want 0 < RetryMin ≤ RetryMax", c.RetryMin, c.RetryMax)
	return errors.Join(errs...)
}

func (c Config) names() db.Names {
	return db.Names{Dialect: c.Dialect, Prefix: c.TablePrefix, Schema: c.Schema}
}

// table is the outbox table's name, for messages.
func (c Config) table() string { return c.names().Plain(db.Events) }

// longestRead is the time after which a read is cut behind the row that it has reached.
const longestRead = 2 * time.Second

func (c Config) longestRead() time.Duration { return min(longestRead, c.answerTimeout/4) }

// validateDelivery checks mode, policy and topics.
func (c Config) validateDelivery() []error {
	var errs []error
	if !slices.Contains(Modes(), c.Mode) {
		errs = append(errs, fmt.Errorf("Mode is %q: want %s", c.Mode, listed(Modes())))
	}
	if _, ok := c.Sink.(Transactional); c.Mode == ExactlyOnce && c.Sink != nil && !ok {
		errs = append(errs, fmt.Errorf("Mode is %q, and a sink of type %T has no transactions: use relaykafka, or %q "+
			"with an inbox on the consumer's side",
			ExactlyOnce, c.Sink, AtLeastOnce))
	}
	if !slices.Contains(Policies(), c.OnRejection) {
		errs = append(errs, fmt.Errorf("OnRejection is %q: want %s", c.OnRejection, listed(Policies())))
	}
	for _, topic := range c.Topics {
		if err := CheckTopicPattern(topic); err != nil {
			errs = append(errs, fmt.Errorf("in Topics: %w", err))
		}
	}
	return errs
}

func listed[T ~string](values []T) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = fmt.Sprintf("%q", string(v))
	}
	return strings.Join(texts, ", ")
}

// CheckTopicPattern says why an element of Config.Topics cannot be used: it is empty, or has a * before its
// last character.
func CheckTopicPattern(pattern string) error {
	switch i := strings.IndexByte(pattern, '*'); {
	case pattern == "":
		return fmt.Errorf("a topic is empty: name it, or leave the list out to allow every topic")
	case i >= 0 && i != len(pattern)-1:
		return fmt.Errorf("%q: a * may only be the last character, as in orders.*", pattern)
	}
	return nil
}

// bounded runs work with the time limit of one answer.
func (c *Config) bounded(ctx context.Context, work func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.answerTimeout)
	defer cancel()
	return work(ctx)
}
