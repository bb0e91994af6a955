package watermillkafka

import (
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"github.com/postroom/postroom/internal/kafkarules"
	"github.com/postroom/postroom/relay"
)

const (
	askEvery      = time.Minute
	askAgainAfter = 2 * time.Second // after a record was rejected, because the limit may have been raised since
)

// limits knows topics' max.message.bytes, and so knows without sending them which records Kafka would reject.
// As far as it knows, it never rejects a record that Kafka would accept. If it does not know a limit, the
// record is sent, and the broker decides. That happens for the first records of a topic, while it asks, and
// always without the right to read a topic's settings (DescribeConfigs).
//
// Safe for concurrent use.
type limits struct {
	// ask returns the limits of those topics for which it got an answer.
	ask    func(topics []string) map[string]int
	anyKey bool // Config.Key makes keys that are not in the record

	mu     sync.Mutex
	topics map[string]*limit
	asking bool
	closed bool
	wait   sync.WaitGroup
}

type limit struct {
	most  int       // 0: not known
	tight bool      // a record was rejected since the last request
	asked time.Time // time of the last request
}

func newLimits(ask func([]string) map[string]int, anyKey bool) *limits {
	return &limits{ask: ask, anyKey: anyKey, topics: make(map[string]*limit)}
}

// Validate is relaywatermill.Options.Validate.
func (l *limits) Validate(r *relay.Record) error {
	most := l.of(r.Topic, time.Now())
	if most == 0 || kafkarules.MostSize(r) <= most && kafkarules.MayBeObject(r.Headers) {
		return nil
	}
	headers, err := r.AppendWireHeaders(make([]relay.Header, 0, 8))
	if err != nil {
		return err
	}
	size := kafkarules.AloneSize(r, headers)
	if l.anyKey {
		size -= len(r.Key)
	}
	if size <= most {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.topics[r.Topic].tight = true
	return kafkarules.TooLargeForTopic(r.Topic, size, most)
}

// of returns a topic's limit, or 0 if it is not known. It has Kafka asked if that is due.
func (l *limits) of(topic string, now time.Time) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	known, ok := l.topics[topic]
	if !ok {
		known = new(limit)
		l.topics[topic] = known
	}
	if known.due(now) && !l.asking && !l.closed {
		l.asking = true
		l.wait.Go(func() { l.learn(now) })
	}
	return known.most
}

func (k *limit) due(now time.Time) bool {
	age := now.Sub(k.asked)
	return age >= askEvery || k.tight && age >= askAgainAfter
}

// learn asks Kafka about all topics that are due.
func (l *limits) learn(now time.Time) {
	var names []string
	l.mu.Lock()
	for name, k := range l.topics {
		if k.due(now) {
			k.asked, k.tight = now, false
			names = append(names, name)
		}
	}
	l.mu.Unlock()
	found := l.ask(names)
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, most := range found {
		l.topics[name].most = most
	}
	l.asking = false
}

// close waits for running requests.
func (l *limits) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.wait.Wait()
}

// askLimits asks Kafka. The result has only the topics with an answer. The records themselves show an outage.
func (c Config) askLimits(topics []string) map[string]int {
	config, err := c.saramaConfig()
	if err != nil {
		return nil
	}
	// In an outage, closing the sink waits for this request.
	config.Metadata.Retry.Max = 0
	for _, limit := range []*time.Duration{&config.Net.DialTimeout, &config.Net.ReadTimeout, &config.Net.WriteTimeout} {
		*limit = min(*limit, 5*time.Second)
	}
	admin, err := sarama.NewClusterAdmin(c.Brokers, config)
	if err != nil {
		return nil
	}
	defer func() { _ = admin.Close() }()
	found := make(map[string]int)
	for _, topic := range topics {
		most, err := maxMessageBytes(admin, topic)
		var answer sarama.KError
		switch {
		case err == nil:
			found[topic] = most
		case !errors.As(err, &answer): // no answer: the next request would take its whole time limit again
			return found
		}
	}
	return found
}

func maxMessageBytes(admin sarama.ClusterAdmin, topic string) (int, error) {
	const name = "max.message.bytes"
	settings, err := admin.DescribeConfig(
		sarama.ConfigResource{Type: sarama.TopicResource, Name: topic, ConfigNames: []string{name}},
	)
	if err != nil {
		return 0, err
	}
	for _, setting := range settings {
		if setting.Name == name {
			return strconv.Atoi(setting.Value)
		}
	}
	return 0, sarama.ErrUnknown
}
