package replica

import (
	"context"
	"database/sql"

	"github.com/postroom/postroom/inbox"
)

// ToChange makes a change of a message. Its error parks the message.
type ToChange func(m inbox.Message) (Change, error)

// DecodeMessage is the ToChange of JSON payloads; see Decode.
func DecodeMessage(m inbox.Message) (Change, error) { return Decode(m.Headers, m.Payload) }

// Handler returns a handler for inbox that applies one message. A nil decode is
// DecodeMessage.
func (r *Replica) Handler(decode ToChange) inbox.Handler {
	batch := r.BatchHandler(decode)
	return func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
		return batch(ctx, tx, []inbox.Message{m})
	}
}

// BatchHandler returns a handler for inbox that applies a batch at once. A nil decode
// is DecodeMessage.
func (r *Replica) BatchHandler(decode ToChange) inbox.BatchHandler {
	if decode == nil {
		decode = DecodeMessage
	}
	return func(ctx context.Context, tx *sql.Tx, ms []inbox.Message) error {
		changes := make([]Change, 0, len(ms))
		for _, m := range ms {
			c, err := decode(m)
			if err != nil {
				return err
			}
			changes = append(changes, c)
		}
		_, err := r.Apply(ctx, tx, changes...)
		return err
	}
}
