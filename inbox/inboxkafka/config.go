package inboxkafka

import (
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/inbox"
)

// Mode says what one transaction of the database covers, and where the position lives.
type Mode string

// The modes.
const (
	// Batch is one transaction for what has arrived of a partition, up to
	// MaxBatch messages: one commit, one statement for all ids. The default.
	Batch Mode = "batch"
	// PerMessage is one transaction a message.
	PerMessage Mode = "per-message"
	// OffsetsInDatabase is Batch with the group's position in the handler's own
	// database, moved in the handler's transaction and guarded by an epoch that the
	// database issues: a member that was declared dead cannot commit.
	OffsetsInDatabase Mode = "offsets-in-database"
)

// Offset names an end of a partition's log.
type Offset string

// The ends of a log. The zero value is the default of the field that it is used in.
const (
	Earliest Offset = "earliest"
	Latest   Offset = "latest"
)

// Policy says what becomes of a record that no message can be made of.
type Policy string

// The policies.
const (
	Park Policy = "park" // it is parked with the reason, under the id topic/partition@offset
	Halt Policy = "halt" // Run returns the reason, and the record is delivered again
)

// Defaults of Config.
const (
	DefaultMaxBatch    = 1000
	DefaultBufferBytes = 64 << 20
	DefaultGrace       = 15 * time.Second
	DefaultReplayEvery = time.Second

	DefaultUndecodableLimit = 100
)

// Config is what a Consumer needs to know. Fields without a default are required.
type Config struct {
	Inbox *inbox.Inbox // whose consumer name and tables it uses
	DB    *sql.DB      // the database of these tables and of the handler's own; it stays open

	Brokers []string // seeds, host:port
	Group   string   // Kafka's consumer group
	Topics  []string // by name

	Mode Mode // default: Batch

	// ExactlyOnceTopics are those of Topics that hold each event once, as Postroom's
	// relay writes them in exactly-once mode. For them OffsetsInDatabase writes no row
	// per message. A topic that is named here wrongly has its duplicates applied twice:
	// the position alone does not know that offsets 10 and 90 are one event.
	ExactlyOnceTopics []string

	// Decode makes a message of a record. Default: Decode.
	Decode Decoder
	// OnUndecodable says what becomes of a record that Decode refuses, or whose id or
	// other parts the inbox cannot store. Default: Park.
	OnUndecodable Policy
	// UndecodableLimit ends Run, with the reason, when so many messages of a topic could not be decoded
	// and none could: then Decode is the wrong one, and with Park the whole topic would be parked.
	// Those before are parked. Default: DefaultUndecodableLimit; negative: no limit.
	UndecodableLimit int

	// KeyConcurrency is how many messages, or batches, of one partition are handled beside
	// one another: it is split into lanes by the hash of the key, and messages of one key stay
	// in order. What is committed to the group is where all lanes have come to. Default: 1;
	// not with OffsetsInDatabase, where one number must say how far the partition has
	// come. It takes as many connections of DB for each partition.
	KeyConcurrency int

	// MaxBatch is the most messages in a transaction. Default: DefaultMaxBatch; at most
	// inbox.MaxBatch.
	MaxBatch int
	// Buffer is how many messages of a partition wait in memory before it is
	// paused; one poll more may arrive. Default: 4 × MaxBatch.
	Buffer int
	// BufferBytes is how much memory a Run takes for messages of all its partitions together, as they are unpacked:
	// those that wait, those in handlers, and what is fetched; with 256 bytes for each message, and 64 for
	// each header. A partition is paused when it holds as much as is left, so that several which stand still leave
	// room for the others. A transaction gets a quarter of it at most. A single batch of Kafka's may be larger,
	// and passes. The process takes two to three times as much, by Go's garbage collector. Default: DefaultBufferBytes.
	BufferBytes int

	// Grace is how long a partition that the group takes away, or that Run's end finds
	// at work, may go on with the transaction under way; then it is rolled back. While a
	// rebalance waits for it, the member's other partitions handle what is in their buffers, and
	// fetch nothing. Keep it well below the group's rebalance timeout (60 s). Default: DefaultGrace.
	Grace time.Duration

	// ReplayEvery is how often parked messages that an operator asked to retry are looked
	// for. Default: DefaultReplayEvery. Negative: never, another process does.
	ReplayEvery time.Duration

	// StartOffset is where a group without an offset begins. Default: Earliest.
	StartOffset Offset
	// ResetOffset is where to go on when the position lies outside the log, because
	// retention has deleted what was not read yet or the topic was made anew. Default:
	// nowhere; Run returns an error that says so.
	ResetOffset Offset

	// Retention is how long the ids of handled messages are kept at least, which is how
	// far back duplicates are recognised. Run prunes about every hour (inbox.KeepPruned), and
	// never what lies within Margin of what the group may still read. Shorter than
	// the time for which the inbox tries a message, or than ReplayEvery, it is refused
	// (inbox.ErrShortRetention). 0: Run deletes none, and the table grows until Inbox.Prune is called.
	Retention time.Duration
	// Margin is inbox.PruneOptions.Margin, in offsets of a partition: ids that lie within so many of what the group
	// may still read are kept, however old. Of a topic with few messages a day that is
	// longer than Retention. Default: inbox.DefaultMargin, 100,000; negative: none.
	Margin int64
	// OnPruned is told of each round, for metrics.
	OnPruned func(inbox.Pruned)

	// AdoptOffsets lets a group go on whose offsets were committed for another consumer
	// name or other tables: what it handled there is unknown here. And it lets one begin that
	// has no offset, though the inbox knows later messages of the partition and not those
	// at its start, which were pruned: they are applied again.
	// And it lets one go on that is ahead of what the database knows to be done: what lies between is left out.
	AdoptOffsets bool

	// FormerGroup is the name that Group had before. The database remembers in which group a consumer
	// reads a topic, and another one is refused: each message would be handled in one of them only. The new
	// group goes on where the old one was. It may stay set, and does no harm to a consumer that has none.
	FormerGroup string

	// Options are further settings of the client: TLS, SASL, instance id, the most that a fetch asks for.
	// What the promises depend on is set after them, and kgo.WithDecompressor, which BufferBytes needs.
	// kgo.FetchMaxWait is 100 ms unless it is among them: longer, and a partition that was paused because its buffer was
	// full may stand still for that long while others have nothing new.
	Options []kgo.Opt

	// Logger gets one line for each change of state. Default: slog.Default().
	Logger *slog.Logger
	// OnOutcome is called after each message that came to an end, for metrics, by several
	// goroutines at once.
	OnOutcome func(m inbox.Message, o inbox.Outcome)

	// unknownAfter is how long a topic must have been unknown to the brokers to count as
	// deleted: just after a restart they deny topics that they have.
	unknownAfter time.Duration
	// trialPause is how long a handler that fails for nearly everything is left alone at first.
	trialPause time.Duration
}

func (c Config) withDefaults() Config {
	if c.Mode == "" {
		c.Mode = Batch
	}
	if c.Decode == nil {
		c.Decode = Decode
	}
	if c.OnUndecodable == "" {
		c.OnUndecodable = Park
	}
	if c.UndecodableLimit == 0 {
		c.UndecodableLimit = DefaultUndecodableLimit
	}
	if c.trialPause == 0 {
		c.trialPause = time.Second
	}
	if c.KeyConcurrency == 0 {
		c.KeyConcurrency = 1
	}
	if c.MaxBatch == 0 {
		c.MaxBatch = DefaultMaxBatch
	}
	if c.Buffer == 0 {
		c.Buffer = 4 * c.MaxBatch
	}
	if c.BufferBytes == 0 {
		c.BufferBytes = DefaultBufferBytes
	}
	if c.Grace == 0 {
		c.Grace = DefaultGrace
	}
	if c.ReplayEvery == 0 {
		c.ReplayEvery = DefaultReplayEvery
	}
	if c.StartOffset == "" {
		c.StartOffset = Earliest
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.unknownAfter == 0 {
		c.unknownAfter = 30 * time.Second
	}
	return c
}

// validate names the field of every mistake, all at once.
func (c Config) validate() error {
	var errs []error
	refuse := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	refuse(c.Inbox == nil, "Inbox is nil: make one with inbox.New")
	refuse(c.DB == nil, "DB is nil: give the database that the handler writes to")
	refuse(len(c.Brokers) == 0, "Brokers is empty: give host:port of one broker or more")
	refuse(c.Group == "", "Group is empty: give the consumer group's name")
	refuse(len(c.Topics) == 0, "Topics is empty: give the topics to consume")
	refuse(slices.Contains(c.Topics, ""), "Topics has an empty name")
	refuse(!slices.Contains([]Mode{Batch, PerMessage, OffsetsInDatabase}, c.Mode),
		"Mode %q: want %s, %s or %s", c.Mode, Batch, PerMessage, OffsetsInDatabase)
	refuse(!slices.Contains([]Policy{Park, Halt}, c.OnUndecodable), "OnUndecodable %q: want %s or %s", c.OnUndecodable,
		Park, Halt)
	refuse(!slices.Contains([]Offset{Earliest, Latest}, c.StartOffset), "StartOffset %q: want %s or %s", c.StartOffset,
		Earliest, Latest)
	refuse(!slices.Contains([]Offset{"", Earliest, Latest}, c.ResetOffset), "ResetOffset %q: want %s, %s or nothing",
		c.ResetOffset, Earliest, Latest)
	refuse(c.KeyConcurrency < 1, "KeyConcurrency %d: want 1 or more", c.KeyConcurrency)
	refuse(c.KeyConcurrency > 1 && c.Mode == OffsetsInDatabase,
		"KeyConcurrency %d with %s: lanes finish out of order, and the one offset in the database would pass a message that "+
			"is not done; use more partitions, or %s", c.KeyConcurrency, OffsetsInDatabase, Batch)
	refuse(len(c.ExactlyOnceTopics) > 0 && c.Mode != OffsetsInDatabase,
		"ExactlyOnceTopics with %s: only %s can do without the ids of messages", c.Mode, OffsetsInDatabase)
	for _, topic := range c.ExactlyOnceTopics {
		refuse(!slices.Contains(c.Topics, topic), "ExactlyOnceTopics names %q, which is not in Topics", topic)
	}
	refuse(c.MaxBatch < 1 || c.MaxBatch > inbox.MaxBatch, "MaxBatch %d: want 1 to %d", c.MaxBatch, inbox.MaxBatch)
	refuse(c.Buffer < 1, "Buffer %d: want 1 or more", c.Buffer)
	refuse(c.BufferBytes < 1, "BufferBytes %d: want 1 or more", c.BufferBytes)
	refuse(c.Retention < 0, "Retention %s: want a time, or 0 to delete nothing", c.Retention)
	if c.Retention > 0 && c.Inbox != nil {
		err := c.Inbox.CheckRetention(inbox.Retention{PruneOptions: inbox.PruneOptions{Retention: c.Retention}})
		refuse(err != nil, "Retention: %w", err)
		refuse(c.Retention < c.ReplayEvery, "Retention: %w: %s, but a retry that an operator asks for may begin %s later "+
			"(ReplayEvery)", inbox.ErrShortRetention, c.Retention, c.ReplayEvery)
	}
	refuse(c.Grace < 0, "Grace %s: want 0 or more", c.Grace)
	return errors.Join(errs...)
}
