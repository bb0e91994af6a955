package relaykafka

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
)

// Config says which Kafka cluster to publish to, and how. Only Brokers is required: the zero value of every
// other field is its default.
type Config struct {
	// Brokers are the addresses through which the client finds the cluster, as host or host:port (the default
	// port is 9092). One address is enough. More of them help when a broker is down at start.
	Brokers []string

	// ClientID names this program in the brokers' logs, quotas and metrics.
	// Default: postroom.
	ClientID string

	// TLS encrypts connections; the zero tls.Config trusts the system's roots.
	// Default nil: no encryption.
	TLS *tls.Config

	// SASL lists the mechanisms to authenticate with, in order of preference. Every session uses them, and
	// they are never closed. Default: none.
	SASL []sasl.Mechanism

	// CreateTopics creates a topic that does not exist when the first record for it arrives. Default false:
	// such a record is rejected (see UnknownTopicAfter). The broker's own auto.create.topics.enable is never
	// used, because it would turn a typing error into a topic.
	CreateTopics bool

	// TopicPartitions and TopicReplicas apply to the topics that CreateTopics creates. Default 0: the
	// broker's num.partitions and default.replication.factor.
	TopicPartitions int32
	TopicReplicas   int16

	// Linger is how long an incomplete batch waits for more records. Default 0: it does not wait, and a batch
	// collects the records that arrive while earlier batches are being sent. At most one minute.
	Linger time.Duration

	// Compression is none, gzip, snappy, lz4 or zstd. Default none. zstd and lz4 help when the network or the
	// brokers' disks are the bottleneck. They cost processor time in the relay.
	Compression string

	// BatchMaxBytes is the largest batch, and so the largest record, before
	// compression. A larger record is rejected without being sent. Default
	// 1,048,588, Kafka's default of message.max.bytes. Raise both for larger
	// events; lower it when a topic's max.message.bytes is lower. From 1,024 up
	// to 100 MiB.
	BatchMaxBytes int32

	// MaxBufferedBytes bounds what a session holds unacknowledged: keys, values, headers and 512 bytes for
	// each record. Deliver blocks while the buffer is full. Default 128 MiB, which is more than the relay
	// keeps in flight.
	MaxBufferedBytes int64

	// UnknownTopicAfter is how long fresh metadata must report, without interruption, that a topic does not
	// exist, before its records are rejected. The wait is needed because just after a restart brokers report
	// that existing topics do not exist. Default 30 s.
	UnknownTopicAfter time.Duration

	// TransactionRecords and TransactionBytes bound a transaction in exactly-once mode. Bytes are counted as
	// in MaxBufferedBytes. The session queues the same amount again for the next transaction. A transaction
	// starts when the previous one has ended, and takes the records that are queued then. So under a small
	// load it has few records and adds little delay. Larger transactions cost less for each record. A
	// transaction must end within 10 s. After one that did not, the next ones are smaller for a while.
	// Default 10,000 and 16 MiB.
	TransactionRecords int
	TransactionBytes   int64

	// ManifestReplicas is the number of replicas of a manifest topic that is created in exactly-once mode.
	// Default 0: three, or one on each broker if there are fewer brokers. If the brokers'
	// default.replication.factor is higher, the default is that factor.
	ManifestReplicas int16

	// ManifestKeep is how long manifests are kept, at least, in exactly-once mode. The time begins when the
	// deletion of the rows that they name has been committed. A standby that lags by less than this still
	// finds the manifests when it is promoted, and nothing is sent twice. Default 1 h.
	ManifestKeep time.Duration

	// Logger receives outages, created topics and rejected records, never payloads. Default slog.Default().
	Logger *slog.Logger

	// ExtraOptions are passed to franz-go after our own options, for settings that Config does not have. New
	// rejects or overrides options that would break a promise of this package. Hooks see a few records
	// without a topic: they are markers that never leave the client.
	ExtraOptions []kgo.Opt

	// Tests set shorter times here.
	transactionTimeout time.Duration
	openTimeout        time.Duration
	outageAfter        time.Duration
}

const (
	defaultClientID           = "postroom"
	defaultBatchMaxBytes      = 1_048_588
	defaultMaxBufferedBytes   = 128 << 20
	defaultUnknownTopicAfter  = 30 * time.Second
	defaultTransactionRecords = 10_000
	defaultTransactionBytes   = 16 << 20
	defaultManifestKeep       = time.Hour
	maxBatchBytes             = 100 << 20
)

func (c Config) withDefaults() Config {
	if c.ClientID == "" {
		c.ClientID = defaultClientID
	}
	if c.TopicPartitions == 0 {
		c.TopicPartitions = -1
	}
	if c.TopicReplicas == 0 {
		c.TopicReplicas = -1
	}
	if c.Compression == "" {
		c.Compression = "none"
	}
	if c.BatchMaxBytes == 0 {
		c.BatchMaxBytes = defaultBatchMaxBytes
	}
	if c.MaxBufferedBytes == 0 {
		c.MaxBufferedBytes = defaultMaxBufferedBytes
	}
	if c.UnknownTopicAfter == 0 {
		c.UnknownTopicAfter = defaultUnknownTopicAfter
	}
	if c.TransactionRecords == 0 {
		c.TransactionRecords = defaultTransactionRecords
	}
	if c.TransactionBytes == 0 {
		c.TransactionBytes = defaultTransactionBytes
	}
	if c.ManifestKeep == 0 {
		c.ManifestKeep = defaultManifestKeep
	}
	if c.outageAfter == 0 {
		c.outageAfter = outageAfter
	}
	if c.transactionTimeout == 0 {
		c.transactionTimeout = transactionTimeout
	}
	if c.openTimeout == 0 {
		c.openTimeout = openTimeout
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

// validate reports all invalid fields at once, each with its name. Call it on a Config whose defaults are
// filled in.
func (c Config) validate() error {
	var errs []error
	fault := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("relaykafka: Config."+format, args...))
	}
	if len(c.Brokers) == 0 {
		fault("Brokers is empty: name at least one broker as host:port")
	}
	for _, broker := range c.Brokers {
		if broker == "" || strings.ContainsAny(broker, ", \t\n/") {
			fault("Brokers: %q is not an address: write host:port, one address an element", broker)
		}
	}
	if c.TopicPartitions < -1 {
		fault("TopicPartitions is %d: use 0 for the broker's default or a positive number", c.TopicPartitions)
	}
	if c.TopicReplicas < -1 {
		fault("TopicReplicas is %d: use 0 for the broker's default or a positive number", c.TopicReplicas)
	}
	if c.Linger < 0 || c.Linger > time.Minute {
		fault("Linger is %s: it must be from 0 to 1m", c.Linger)
	}
	if _, ok := compressions()[c.Compression]; !ok {
		fault("Compression is %q: it must be none, gzip, snappy, lz4 or zstd", c.Compression)
	}
	if c.BatchMaxBytes < 1024 || c.BatchMaxBytes > maxBatchBytes {
		fault("BatchMaxBytes is %d: it must be from 1,024 to %d", c.BatchMaxBytes, maxBatchBytes)
	}
	if c.MaxBufferedBytes < 0 {
		fault("MaxBufferedBytes is %d: it must be positive", c.MaxBufferedBytes)
	}
	if c.UnknownTopicAfter < 0 {
		fault("UnknownTopicAfter is %s: it must be positive", c.UnknownTopicAfter)
	}
	if c.TransactionRecords < 0 {
		fault("TransactionRecords is %d: it must be positive", c.TransactionRecords)
	}
	if c.TransactionBytes < 0 {
		fault("TransactionBytes is %d: it must be positive", c.TransactionBytes)
	}
	if c.ManifestReplicas < 0 {
		fault("ManifestReplicas is %d: use 0 for the default or a positive number", c.ManifestReplicas)
	}
	if c.ManifestKeep < 0 {
		fault("ManifestKeep is %s: it must be positive", c.ManifestKeep)
	}
	return errors.Join(errs...)
}

func compressions() map[string]kgo.CompressionCodec {
	return map[string]kgo.CompressionCodec{
		"none":   kgo.NoCompression(),
		"gzip":   kgo.GzipCompression(),
		"snappy": kgo.SnappyCompression(),
		"lz4":    kgo.Lz4Compression(),
		"zstd":   kgo.ZstdCompression(),
	}
}

// clientOptions returns kgo's options for a producer. The options after ExtraOptions cannot be changed by the
// caller, because our promises depend on them.
func (c Config) clientOptions() []kgo.Opt {
	opts := []kgo.Opt{
		kgo.SeedBrokers(c.Brokers...),
		kgo.ClientID(c.ClientID),
		kgo.WithLogger(clientLogger{log: c.Logger}),
		kgo.ProducerBatchCompression(compressions()[c.Compression]),
		kgo.ProducerBatchMaxBytes(c.BatchMaxBytes),
		kgo.ProducerLinger(c.Linger),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.RetryBackoffFn(retryBackoff),
		// After a change of leader, kgo asks for the new one this often, instead of every 5 s.
		kgo.MetadataMinAge(250 * time.Millisecond),
		// If the client pushed metrics to the broker, Close would wait for up to a second.
		kgo.DisableClientMetrics(),
	}
	if c.TLS != nil {
		opts = append(opts, kgo.DialTLSConfig(c.TLS.Clone()))
	}
	for _, mechanism := range c.SASL {
		opts = append(opts, kgo.SASL(sharedMechanism{mechanism}))
	}
	opts = append(opts, c.ExtraOptions...)
	return append(opts,
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordRetries(math.MaxInt),
		kgo.RecordDeliveryTimeout(0),
		// We decide with our own clock (topics.go) when a topic is unknown, not by kgo's count of retries.
		kgo.UnknownTopicRetries(-1),
		// The session bounds its own buffer, by bytes (session.go).
		kgo.MaxBufferedRecords(math.MaxInt32),
		kgo.MaxBufferedBytes(0),
		kgo.DefaultProduceTopic(""),
	)
}

// checkClient rejects options that cannot be overridden.
func checkClient(client *kgo.Client) error {
	for _, banned := range []struct {
		option any
		name   string
	}{
		{kgo.DisableIdempotentWrite, "DisableIdempotentWrite"},
		{kgo.AllowIdempotentProduceCancellation, "AllowIdempotentProduceCancellation"},
		{kgo.ManualFlushing, "ManualFlushing"},
		{kgo.AllowAutoTopicCreation, "AllowAutoTopicCreation"},
		{kgo.DefaultProduceTopicAlways, "DefaultProduceTopicAlways"},
	} {
		if set, _ := client.OptValue(banned.option).(bool); set {
			return fmt.Errorf(
				"relaykafka: Config.ExtraOptions has kgo.%s, which breaks the promises of this package: leave it out",
				banned.name,
			)
		}
	}
	return nil
}

// retryBackoff waits 50 ms to 1 s. Outages are rare, so one request a second costs nothing, and the records
// should not wait longer than necessary when an outage ends.
func retryBackoff(failures int) time.Duration {
	const shortest, longest = 50 * time.Millisecond, time.Second
	wait := longest
	if failures < 6 {
		wait = min(shortest<<max(failures-1, 0), longest)
	}
	return wait - jitter(wait/4)
}

// sharedMechanism hides a mechanism's Close from kgo. kgo would call it at the end of each session, but the
// next session needs the mechanism again.
type sharedMechanism struct{ sasl.Mechanism }
