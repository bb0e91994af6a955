package replica

import (
	"context"
	"database/sql"

	"github.com/postroom/postroom/inbox"
)

// Decoder converts a message into a change: Version, Deleted and Values. The handler adds the backfill's headers
// itself, and does not call a Decoder for end markers. An error of the Decoder parks the message.
type Decoder func(m inbox.Message) (Change, error)

// DecodeMessage is the Decoder of JSON payloads; see Decode.
func DecodeMessage(m inbox.Message) (Change, error) { return Decode(m.Headers, m.Payload) }

// Handler returns a handler for inbox that applies one message. A nil decode means DecodeMessage.
func (r *Replica) Handler(decode Decoder) inbox.Handler {
	batch := r.BatchHandler(decode)
	return func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
		return batch(ctx, tx, []inbox.Message{m})
	}
}

// BatchHandler returns a handler for inbox that applies a batch at once. A nil decode means DecodeMessage.
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

// change decodes a message. It reads the backfill's headers itself, because a Decoder that ignores them would prevent
// the end of the run.
func change(m inbox.Message, decode Decoder) (Change, error) {
	backfill, err := backfillHeaders(m.Headers)
	if err != nil || backfill.End != nil {
		return backfill, err
	}
	c, err := decode(m)
	if backfill.RunID != "" {
		c.RunID = backfill.RunID
	}
	c.Partial = c.Partial || backfill.Partial
	return c, err
}
