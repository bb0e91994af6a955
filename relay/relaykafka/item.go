package relaykafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/relay"
)

// item is a record on its way through the client. It is the kgo record's context
// too: that is how the promise finds it again without a closure for each
// record, and how the gate calls back what was not sent (gate.go).
type item struct {
	context.Context // the session's

	session *session
	topic   *topic
	record  *relay.Record
	wire    kgo.Record
	size    int64 // of what it holds in memory, for MaxBufferedBytes
}

// encode fills it with r. An error is a rejection.
func (s *session) encode(e *encoder, it *item, r *relay.Record) error {
	size, err := e.encode(&it.wire, r)
	if err != nil {
		return err
	}
	if s.last == nil || s.last.name != r.Topic {
		s.last = s.topicOf(r.Topic)
	}
	it.Context, it.session, it.topic, it.record, it.size = s.gate, s, s.last, r, size
	it.wire.Topic, it.wire.Context = s.last.name, it
	return nil
}
