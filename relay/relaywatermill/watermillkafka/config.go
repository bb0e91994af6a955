package watermillkafka

import (
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
)

// Config says which Kafka to publish to. Only Brokers is required. The zero value of every other field is its
// default.
type Config struct {
	// Brokers are the addresses through which the client finds the cluster, as host:port.
	Brokers []string

	// ClientID names this program in the brokers' logs and quotas. Default: postroom.
	ClientID string

	// TLS encrypts connections. Default nil: no encryption.
	TLS *tls.Config

	// MaxMessageBytes is the size of the largest message, and batch, before compression. A larger message is
	// rejected without being sent. Default 1,048,576. Raise it together with the brokers' message.max.bytes.
	// Lower it if a topic's max.message.bytes is lower. Otherwise batches for that topic are rejected and
	// their messages are sent one by one. A message that is larger than its topic's limit is rejected without
	// being sent, if the user may read that limit (DescribeConfigs).
	MaxMessageBytes int

	// Key returns a message's Kafka key, or nil for none. Default nil: the key that the relay has put into
	// the message's context (relaywatermill.KeyFromContext).
	Key func(topic string, msg *message.Message) []byte

	// UnknownTopicAfter is how long Kafka must report that a topic does not exist before its records are
	// rejected. The wait is needed because just after a restart brokers report that existing topics do not
	// exist. Default 30 s.
	UnknownTopicAfter time.Duration

	// Lanes and Buffer are the fields of relaywatermill.Options, with their defaults.
	Lanes  int
	Buffer int

	// Configure changes sarama's configuration last, for settings that Config does not have: SASL,
	// compression, time limits. Settings that would break a promise (acks, idempotence, one request at a
	// time) are rejected after it. Default nil.
	Configure func(*sarama.Config) error

	// Logger is watermill-kafka's logger. Default nil: no log.
	Logger watermill.LoggerAdapter
}

const (
	defaultMaxMessageBytes   = 1 << 20
	defaultUnknownTopicAfter = 30 * time.Second
)

func (c Config) withDefaults() Config {
	if c.ClientID == "" {
		c.ClientID = "postroom"
	}
	if c.MaxMessageBytes == 0 {
		c.MaxMessageBytes = defaultMaxMessageBytes
	}
	if c.UnknownTopicAfter == 0 {
		c.UnknownTopicAfter = defaultUnknownTopicAfter
	}
	return c
}

func (c Config) validate() error {
	var errs []error
	fault := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("watermillkafka: Config."+format, args...))
	}
	if len(c.Brokers) == 0 {
		fault("Brokers is empty: name at least one broker as host:port")
	}
	for _, broker := range c.Brokers {
		if !strings.Contains(broker, ":") || strings.ContainsAny(broker, ", \t\n/") {
			fault("Brokers: %q is not an address: write host:port, one address an element", broker)
		}
	}
	if c.MaxMessageBytes < 1024 {
		fault("MaxMessageBytes is %d: it must be at least 1,024", c.MaxMessageBytes)
	}
	if c.UnknownTopicAfter < 0 {
		fault("UnknownTopicAfter is %s: it must be positive", c.UnknownTopicAfter)
	}
	return errors.Join(errs...)
}

// saramaConfig returns sarama's settings for the promises of the package comment.
func (c Config) saramaConfig() (*sarama.Config, error) {
	config := sarama.NewConfig()
	config.ClientID = c.ClientID
	config.Version = sarama.V2_1_0_0 // the oldest protocol that Kafka 4 supports
	config.Net.MaxOpenRequests = 1   // sarama's idempotent producer requires it
	config.Net.TLS.Enable = c.TLS != nil
	config.Net.TLS.Config = c.TLS
	config.Metadata.AllowAutoTopicCreation = false
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Idempotent = true
	config.Producer.Return.Successes = true
	config.Producer.Return.Errors = true
	config.Producer.MaxMessageBytes = c.MaxMessageBytes
	config.Producer.Partitioner = newPartitioner
	// The publisher retries while a leader moves. A longer outage is left to the relay, because the session's
	// Close has to wait for every message that is still retrying here. There are many retries, because sarama
	// waits between them only after a broken connection, and not after a broker's answer.
	config.Producer.Retry.Max = 50
	config.Producer.Retry.BackoffFunc = backoff
	config.Metadata.Retry.Max = 2
	config.Metadata.Retry.Backoff = 100 * time.Millisecond
	if c.Configure != nil {
		if err := c.Configure(config); err != nil {
			return nil, fmt.Errorf("watermillkafka: Config.Configure: %w", err)
		}
	}
	switch {
	case config.Producer.RequiredAcks != sarama.WaitForAll:
		return nil, errors.New(
			"watermillkafka: Config.Configure changes Producer.RequiredAcks: with fewer than all, events are lost",
		)
	case !config.Producer.Idempotent, config.Net.MaxOpenRequests != 1:
		return nil, errors.New("watermillkafka: Config.Configure takes away Producer.Idempotent or " +
			"Net.MaxOpenRequests = 1: without them, retries reorder events")
	}
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("watermillkafka: sarama rejects the configuration: %w; see Config.Configure", err)
	}
	return config, nil
}

// backoff is 10 to 100 ms. All retries together take less than 5 s.
func backoff(retries, _ int) time.Duration {
	wait := min(10*time.Millisecond<<min(max(retries-1, 0), 10), 100*time.Millisecond)
	return wait - rand.N(wait/4)
}
