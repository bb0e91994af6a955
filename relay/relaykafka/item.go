package relaykafka

import (
	"context"
	"fmt"

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
	mark    *mark
	record  *relay.Record
	wire    kgo.Record
	size    int64 // of what it holds in memory, for MaxBufferedBytes
}

// encode fills it with r. An error is a rejection.
func (s *session) encode(ctx context.Context, e *encoder, it *item, t *topic, r *relay.Record) error {
	size, err := e.encode(&it.wire, r)
	if err != nil {
		return err
	}
	if err := s.sink.judge.admit(t.verdict, r.Key, aloneSize(&it.wire), ctx, s.gate); err != nil {
		return fmt.Errorf("row %d: %w", r.ID, err)
	}
	it.Context, it.session, it.topic, it.record, it.size = s.gate, s, t, r, size
	it.wire.Topic, it.wire.Context = t.name, it
	return nil
}
