package replica

import (
	"context"
	"database/sql"

	"github.com/postroom/postroom/inbox"
)

// Decoder makes a change of a message: Version, Deleted and Values. What the headers
// say of a backfill is added, and end markers do not come to it. Its error parks the message.
type Decoder func(m inbox.Message) (Change, error)

// DecodeMessage is the Decoder of JSON payloads; see Decode.
func DecodeMessage(m inbox.Message) (Change, error) { return Decode(m.Headers, m.Payload) }

// Handler returns a handler for inbox that applies one message. A nil decode is
// DecodeMessage.
func (r *Replica) Handler(decode Decoder) inbox.Handler {
	batch := r.BatchHandler(decode)
	return func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
		return batch(ctx, tx, []inbox.Message{m})
	}
}

// BatchHandler returns a handler for inbox that applies a batch at once. A nil decode
// is DecodeMessage.
func (r *Replica) BatchHandler(decode Decoder) inbox.BatchHandler {
	if decode == nil {
		decode = DecodeMessage
	}
	return func(ctx context.Context, tx *sql.Tx, ms []inbox.Message) error {
		changes := make([]Change, 0, len(ms))
		for _, m := range ms {
			c, err := change(m, decode)
			if err != nil {
				return err
			}
			changes = append(changes, c)
		}
		_, err := r.Apply(ctx, tx, changes...)
		return err
	}
}

// change does not leave the backfill's headers to decode: without them no run would end.
func change(m inbox.Message, decode Decoder) (Change, error) {
	said, err := ofBackfill(m.Headers)
	if err != nil || said.End != nil {
		return said, err
	}
	c, err := decode(m)
	if said.RunID != "" {
		c.RunID = said.RunID
	}
	c.Partial = c.Partial || said.Partial
	return c, err
}
