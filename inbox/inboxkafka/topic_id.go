package inboxkafka

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// idText writes a topic's id as Kafka's tools do; empty: the broker does not give ids.
func idText(id [16]byte) string {
	if id == [16]byte{} {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(id[:])
}

// topicIDs asks the brokers, and not the client, which keeps what it was told, for the ids of topics. Those that do not
// exist have none.
func (m *member) topicIDs(ctx context.Context, topics []string) (map[string]string, error) {
	request := kmsg.NewPtrMetadataRequest()
	for _, name := range topics {
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = kmsg.StringPtr(name)
		request.Topics = append(request.Topics, topic)
	}
	response, err := request.RequestWith(ctx, m.client)
	if err != nil {
		return nil, fmt.Errorf("inboxkafka: ask for the ids of topics: %w", err)
	}
	ids := make(map[string]string)
	for _, t := range response.Topics {
		if t.Topic != nil {
			ids[*t.Topic] = idText(t.TopicID)
		}
	}
	return ids, nil
}

// setTopic notes of which topic the partition is, and whether the database keeps it.
func (p *partition) setTopic(topicID string, noted bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.topicID, p.noted = topicID, noted
}

func (p *partition) topic() (topicID string, noted bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.topicID, p.noted
}

// markUnverified notes that a broker did not know the partition's topic. It may be another topic when it is there
// again, and a broker that keeps offsets by name would take the old ones for its own.
func (p *partition) markUnverified() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unverified = p.topicID != ""
}

func isUnknownTopic(err error) bool {
	return errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, kerr.UnknownTopicID)
}

func (p *partition) isUnverified() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.unverified
}

func compareNames(a, b partitionName) int {
	return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.id, b.id))
}
