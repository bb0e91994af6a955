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

// idText formats a topic's id like Kafka's tools. It is empty if the broker gives no ids.
func idText(id [16]byte) string {
	if id == [16]byte{} {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(id[:])
}

// topicIDs asks the brokers for the ids of topics. The client's own answer may be old. Topics that do not exist have no
// id.
func (m *member) topicIDs(ctx context.Context, topics []string) (map[string]string, error) {
	request := kmsg.NewPtrMetadataRequest()
	for _, name := range topics {
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = kmsg.StringPtr(name)
		request.Topics = append(request.Topics, topic)
	}
	response, err := request.RequestWith(ctx, m.client)
	if err != nil {
		return nil, fmt.Errorf("inboxkafka: read the ids of topics: %w", err)
	}
	ids := make(map[string]string)
	for _, t := range response.Topics {
		if t.Topic != nil {
			ids[*t.Topic] = idText(t.TopicID)
		}
	}
	return ids, nil
}

// setTopic stores the id of the partition's topic, and whether the database stores its applied offset.
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

// markUnverified remembers that a broker did not know the partition's topic. When the broker knows it again, it may be
// a new topic of the same name. A broker that stores offsets by name would then use the old offsets for it.
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
