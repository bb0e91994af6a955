package customers

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/rules"
	"github.com/postroom/postroom/relay"
)

// naive tells whether an event goes the naive way: without the outbox. New customers never do, so that the
// demonstration has somebody who can order.
func (s *Service) naive(eventType string) bool {
	return eventType != events.CustomerCreated && !s.Rules.On(rules.Outbox)
}

// send is the naive way: the change is committed, and now the event goes to Kafka. If the process dies between the two,
// nobody ever hears of the change; the client knows nothing of it. In this demonstration that happens to each third
// event. The same is true while Kafka is away: the change cannot be taken back any more.
func (s *Service) send(ctx context.Context, eventType string, c Customer) {
	if s.sent.Add(1)%3 == 0 {
		return // the process dies here
	}
	event, err := s.event(eventType, c)
	if err != nil {
		return
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(s.kafka.Brokers...))
	if err != nil {
		return
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_ = client.ProduceSync(ctx, &kgo.Record{
		Topic: event.Topic, Key: []byte(event.Key), Value: event.Payload, Headers: []kgo.RecordHeader{
			{Key: relay.HeaderMessageUUID, Value: []byte(uuid.NewString())}, {Key: "name", Value: []byte(event.Type)},
		},
	}).FirstErr()
}
