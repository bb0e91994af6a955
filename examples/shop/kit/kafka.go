package kit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/inboxkafka"
)

// Partitions is how many partitions the shop's topics have.
const Partitions = 4

// Kafka is the cluster that the shop uses.
type Kafka struct {
	Brokers []string // host:port
	// Prefix is before the names of all topics, groups and consumers, so that several shops can share a cluster, as
	// tests do.
	Prefix string
	// Session is how long a consumer may be silent before Kafka gives its partitions to another one. So it is how long
	// a consumer that was killed holds up its messages. Default: 10 s.
	Session time.Duration
}

// Sessions returns Session, and how often a consumer must be heard in it.
func (k Kafka) Sessions() (session, heartbeat time.Duration) {
	session = cmp.Or(k.Session, 10*time.Second)
	return session, session / 4
}

// Options are the options of all franz-go consumers of the shop.
func (k Kafka) Options() []kgo.Opt {
	session, heartbeat := k.Sessions()
	return []kgo.Opt{kgo.SessionTimeout(session), kgo.HeartbeatInterval(heartbeat), kgo.RebalanceTimeout(2 * session)}
}

// Topic is the name in the cluster of a topic of package events.
func (k Kafka) Topic(name string) string { return k.Prefix + name }

// CreateTopics makes the topics that are not there yet. The relay refuses events of a topic that is not there, because
// a typing error would otherwise become a topic.
func (k Kafka) CreateTopics(ctx context.Context, topics ...string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(k.Brokers...))
	if err != nil {
		return fmt.Errorf("connect to Kafka: %w", err)
	}
	defer client.Close()
	for _, topic := range topics {
		_, err := kadm.NewClient(client).CreateTopic(ctx, Partitions, -1, nil, k.Topic(topic))
		if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("make the topic %s: %w", k.Topic(topic), err)
		}
	}
	return nil
}

// IDsFor is how long the ids of handled messages are kept, to recognise a copy. No copy comes later: Kafka keeps the
// messages of the shop's topics for a week by default, and the outboxes are emptied long before.
const IDsFor = 8 * 24 * time.Hour

// Consumer returns a consumer of topics for the service name. The inbox is in the service's database, so that a message
// and its effect are one transaction. The consumer group has the name of the consumer.
func (k Kafka) Consumer(db *DB, name string, log *slog.Logger, topics ...string) (*inboxkafka.Consumer, error) {
	name = k.Prefix + name
	ib, err := inbox.New(db.Dialect, name, inbox.WithLogger(log))
	if err != nil {
		return nil, err
	}
	names := make([]string, len(topics))
	for i, topic := range topics {
		names[i] = k.Topic(topic)
	}
	return inboxkafka.New(inboxkafka.Config{
		Inbox: ib, DB: db.SQL, Brokers: k.Brokers, Group: name, Topics: names, Logger: log,
		Retention: IDsFor, Options: k.Options(),
	})
}
