package relaywatermill

import (
	"context"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/postroom/postroom/relay"
)

type keyContext struct{}

// KeyFromContext returns the event's key from the context of a message that this package published, and
// whether the event has a key. The bytes must not be changed.
func KeyFromContext(ctx context.Context) ([]byte, bool) {
	key, ok := ctx.Value(keyContext{}).([]byte)
	return key, ok
}

// toMessage makes the Watermill message of a record. An error is a rejection.
func (s *Sink) toMessage(ctx context.Context, r *relay.Record) (*message.Message, error) {
	headers, err := r.AppendWireHeaders(make([]relay.Header, 0, 8))
	if err != nil {
		return nil, err
	}
	metadata := make(message.Metadata, len(headers))
	for _, h := range headers {
		if h.Name != relay.HeaderMessageUUID { // it is the message's UUID
			metadata[h.Name] = h.Value
		}
	}
	msg := message.NewMessage(r.EventID.String(), r.Payload)
	msg.Metadata = metadata
	if r.Key != nil {
		ctx = context.WithValue(ctx, keyContext{}, r.Key)
		if s.options.KeyMetadata != "" {
			metadata[s.options.KeyMetadata] = string(r.Key)
		}
	}
	msg.SetContext(ctx)
	return msg, nil
}
