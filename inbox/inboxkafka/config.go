package inboxkafka

import (
	"cmp"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/inbox"
)

// Mode says what one database transaction covers, and where the position of the group is kept.
type Mode string

// The modes.
const (
	// Batch handles the messages that have arrived of a partition, up to MaxBatch, in one transaction: one commit, and
	// one statement for all ids. It is the default.
	Batch Mode = "batch"
	// PerMessage handles each message in its own transaction.
	PerMessage Mode = "per-message"
	// OffsetsInDatabase is Batch with the group's position in the handler's own database. The handler's transaction
	// moves the position. The database gives each member an epoch, so that a member that was declared dead cannot
	// commit.
	OffsetsInDatabase Mode = "offsets-in-database"
)

// Offset names one end of a partition's log.
type Offset string

// The ends of a log. The zero value is the default of the field that it is used in.
const (
	Earliest Offset = "earliest"
	Latest   Offset = "latest"
)

// Policy says what happens to a record that cannot be decoded.
type Policy string

// The policies.
const (
	Park Policy = "park" // it is parked with the reason; its id is topic/partition@offset
	Halt Policy = "halt" // Run returns the reason; the next Run gets the record again
)

// Defaults of Config.
const (
	DefaultMaxBatch    = 1000
	DefaultBufferBytes = 64 << 20
	DefaultGrace       = 15 * time.Second
	DefaultReplayEvery = time.Second

	DefaultUndecodableLimit = 100
)

// Config configures a Consumer. Fields without a default are required.
type Config struct {
	Inbox *inbox.Inbox // has the consumer name and the tables
	DB    *sql.DB      // the database of these tables and of the handler's tables; the Consumer does not close it

	Brokers []string // seed brokers, as host:port
	Group   string   // Kafka's consumer group
	Topics  []string // by name

	Mode Mode // default: Batch

	// ExactlyOnceTopics lists those of Topics that contain each event once, because Postroom's relay writes them in
	// exactly-once mode. For them OffsetsInDatabase writes no row per message. If another topic is listed here, its
	// duplicates are applied twice: the position does not show that offsets 10 and 90 are the same event.
	ExactlyOnceTopics []string

	// Decode converts a record into a message. Default: Decode.
	Decode Decoder
	// OnUndecodable says what happens to a record that Decode rejects, or that the inbox cannot store, for example
	// because its id is too long. Default: Park.
	OnUndecodable Policy
	// UndecodableLimit ends Run with an error when the first UndecodableLimit messages of a topic could not be decoded.
	// Then Decode is probably wrong for this topic, and Park would park the whole topic. The messages before the limit
	// are parked. Default: DefaultUndecodableLimit; negative: no limit.
	UndecodableLimit int

	// KeyConcurrency is the number of messages, or batches, of one partition that are handled at the same time. The
	// partition is split into lanes by the hash of the key, so that messages of one key stay in order. The offset that
	// is committed is the one below which all lanes have finished. Each partition needs this number of connections of
	// DB. Default: 1. OffsetsInDatabase does not allow more, because there one number must be the position of the
	// whole partition.
	KeyConcurrency int

	// MaxBatch is the largest number of messages in a transaction, at most inbox.MaxBatch. Default: DefaultMaxBatch.
	MaxBatch int
	// Buffer is the number of messages of a partition that may wait in memory. Then the partition is paused; the
	// messages of one further poll may still arrive. Default: 4 × MaxBatch.
	Buffer int
	// BufferBytes limits the memory of a Run for the messages of all its partitions: messages that wait, that are in
	// handlers, and that are fetched. Their size counts uncompressed, plus 256 bytes for each message and 64 for each
	// header. A partition is paused when it uses as much as is still free, so that several slow partitions leave room
	// for the others. A transaction uses at most a quarter of the limit. A single Kafka batch may exceed the limit.
	// Because of Go's garbage collector the process uses two to three times as much. Default: DefaultBufferBytes.
	BufferBytes int

	// Grace is how long the current transaction of a partition may continue when the group takes the partition away, or
	// when Run ends. After that it is rolled back. While a rebalance waits for it, the other partitions of this member
	// handle the messages in their buffers but fetch nothing. Use much less than the group's rebalance timeout (60 s).
	// Default: DefaultGrace.
	Grace time.Duration

	// ReplayEvery is the time between two searches for parked messages that an operator wants to retry. Default:
	// DefaultReplayEvery. Negative: never; another process must do it.
	ReplayEvery time.Duration

	// StartOffset is where a group without a committed offset begins. Default: Earliest.
	StartOffset Offset
	// ResetOffset is where to continue when the position is outside the log, because retention has deleted unread
	// records or the topic was recreated. Default: Run returns an error.
	ResetOffset Offset

	// Retention is the shortest time for which the ids of handled messages are kept. For this time the inbox recognises
	// duplicates. Run deletes older ids about every hour (inbox.KeepPruned), but no id within Margin of what the group
	// may still read. New returns inbox.ErrShortRetention if Retention is shorter than the time for which the inbox
	// tries a message, or than ReplayEvery. 0: Run deletes nothing, and the table grows until you call Inbox.Prune.
	Retention time.Duration
	// Margin is inbox.PruneOptions.Margin: a number of offsets of a partition. Ids within Margin of the next offset
	// that the group may read are kept, whatever their age. For a topic with few messages per day this is longer than
	// Retention. Default: inbox.DefaultMargin, 100,000; negative: none.
	Margin int64
	// OnPruned is called after each round of deleting ids, for metrics.
	OnPruned func(inbox.Pruned)

	// AdoptOffsets allows three things that Run otherwise reports as an error:
	//   - The group's offsets were committed for another consumer name or other tables. What was handled there is
	//     unknown here.
	//   - The group has no offset, but the inbox has ids of later messages of the partition, and those of the first
	//     messages were pruned. The first messages are applied again.
	//   - The group's offset is ahead of the database. The messages in between are skipped.
	AdoptOffsets bool

	// FormerGroup is the previous name of Group. The database stores the group with which a consumer reads a topic, and
	// Run returns an error for another group, because each message would be handled in only one of them. With
	// FormerGroup the new group continues where the old one was. You may leave it set.
	FormerGroup string

	// Options are further options of the Kafka client: TLS, SASL, instance id, fetch sizes. The Consumer sets the
	// options on which its guarantees depend after them, and kgo.WithDecompressor, which BufferBytes needs.
	// The default of kgo.FetchMaxWait is 100 ms here. With a longer time, a partition that was paused because its
	// buffer was full may wait that long while the other partitions have no new messages.
	Options []kgo.Opt

	// Logger gets one line for each change of state. Default: slog.Default().
	Logger *slog.Logger
	// OnOutcome is called after each message that was applied, skipped as a duplicate or parked, for metrics. Several
	// goroutines may call it at the same time.
	OnOutcome func(m inbox.Message, o inbox.Outcome)

	// unknownAfter is how long brokers must report a topic as unknown before it counts as deleted. Just after a restart
	// brokers report existing topics as unknown.
	unknownAfter time.Duration
	// trialPause is the first pause of the breaker, for a handler that fails for nearly every message.
	trialPause time.Duration
}

func (c Config) withDefaults() Config {
	if c.Decode == nil {
		c.Decode = Decode
	}
	c.Mode = cmp.Or(c.Mode, Batch)
	c.OnUndecodable = cmp.Or(c.OnUndecodable, Park)
	c.UndecodableLimit = cmp.Or(c.UndecodableLimit, DefaultUndecodableLimit)
	c.KeyConcurrency = cmp.Or(c.KeyConcurrency, 1)
	c.MaxBatch = cmp.Or(c.MaxBatch, DefaultMaxBatch)
	c.Buffer = cmp.Or(c.Buffer, 4*c.MaxBatch)
	c.BufferBytes = cmp.Or(c.BufferBytes, DefaultBufferBytes)
	c.Grace = cmp.Or(c.Grace, DefaultGrace)
	c.ReplayEvery = cmp.Or(c.ReplayEvery, DefaultReplayEvery)
	c.StartOffset = cmp.Or(c.StartOffset, Earliest)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	c.unknownAfter = cmp.Or(c.unknownAfter, 30*time.Second)
	c.trialPause = cmp.Or(c.trialPause, time.Second)
	return c
}

// validate returns all mistakes at once, each with the name of its field.
func (c Config) validate() error {
	var m mistakes
	m.find(c.Inbox == nil, "Inbox is nil: create one with inbox.New")
	m.find(c.DB == nil, "DB is nil: set it to the database that the handler writes to")
	m.find(len(c.Brokers) == 0, "Brokers is empty: set host:port of one broker or more")
	m.find(c.Group == "", "Group is empty: set the name of the consumer group")
	m.find(len(c.Topics) == 0, "Topics is empty: set the topics to consume")
	m.find(slices.Contains(c.Topics, ""), "Topics has an empty name")
	m.find(!slices.Contains([]Policy{Park, Halt}, c.OnUndecodable), "OnUndecodable %q: use %s or %s", c.OnUndecodable,
		Park, Halt)
	m.find(!slices.Contains([]Offset{Earliest, Latest}, c.StartOffset), "StartOffset %q: use %s or %s", c.StartOffset,
		Earliest, Latest)
	m.find(!slices.Contains([]Offset{"", Earliest, Latest}, c.ResetOffset),
		"ResetOffset %q: use %s, %s or leave it empty", c.ResetOffset, Earliest, Latest)
	m.find(c.MaxBatch < 1 || c.MaxBatch > inbox.MaxBatch, "MaxBatch %d: use 1 to %d", c.MaxBatch, inbox.MaxBatch)
	m.find(c.Buffer < 1, "Buffer %d: use 1 or more", c.Buffer)
	m.find(c.BufferBytes < 1, "BufferBytes %d: use 1 or more", c.BufferBytes)
	m.find(c.Grace < 0, "Grace %s: use 0 or more", c.Grace)
	c.validateMode(&m)
	c.validateRetention(&m)
	return errors.Join(m...)
}

func (c Config) validateMode(m *mistakes) {
	m.find(!slices.Contains([]Mode{Batch, PerMessage, OffsetsInDatabase}, c.Mode),
		"Mode %q: use %s, %s or %s", c.Mode, Batch, PerMessage, OffsetsInDatabase)
	m.find(c.KeyConcurrency < 1, "KeyConcurrency %d: use 1 or more", c.KeyConcurrency)
	m.find(c.KeyConcurrency > 1 && c.Mode == OffsetsInDatabase,
		"KeyConcurrency %d with %s: lanes finish out of order, so the single offset in the database would pass a "+
			"message that is not handled yet; use more partitions, or %s", c.KeyConcurrency, OffsetsInDatabase, Batch)
	m.find(len(c.ExactlyOnceTopics) > 0 && c.Mode != OffsetsInDatabase,
		"ExactlyOnceTopics with %s: only %s works without the ids of messages", c.Mode, OffsetsInDatabase)
	for _, topic := range c.ExactlyOnceTopics {
		m.find(!slices.Contains(c.Topics, topic), "ExactlyOnceTopics names %q, which is not in Topics", topic)
	}
}

func (c Config) validateRetention(m *mistakes) {
	m.find(c.Retention < 0, "Retention %s: use a positive time, or 0 to delete nothing", c.Retention)
	if c.Retention > 0 && c.Inbox != nil {
		err := c.Inbox.CheckRetention(inbox.Retention{PruneOptions: inbox.PruneOptions{Retention: c.Retention}})
		m.find(err != nil, "Retention: %w", err)
		m.find(c.Retention < c.ReplayEvery, "Retention: %w: %s, but a retry may begin %s later (ReplayEvery)",
			inbox.ErrShortRetention, c.Retention, c.ReplayEvery)
	}
}

// mistakes collects the mistakes of a Config.
type mistakes []error

func (m *mistakes) find(wrong bool, format string, args ...any) {
	if wrong {
		*m = append(*m, fmt.Errorf(format, args...))
	}
}
