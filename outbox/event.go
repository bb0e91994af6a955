package outbox

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Event is something that happened in a service and that others should learn of.
type Event struct {
	// ID is what consumers deduplicate by; on the wire it is the Watermill
	// message UUID. Zero: Add makes a UUIDv7. Set it only when the event already
	// has a UUID that is unique across all services that write to the topic.
	ID uuid.UUID

	// Topic is where the event goes: 1 to 249 of a-z, A-Z, 0-9, '.', '_' and
	// '-', which is what Kafka allows (see WithAnyTopic).
	Topic string

	// Key is what order is kept by: events of one topic and key arrive in the
	// order their transactions committed. Usually the aggregate's id. At most
	// 512 bytes of UTF-8 without NUL; compared byte by byte. Empty: no key and no order.
	Key string

	// Type is the event's name, such as "order.placed"; it travels in the header
	// "name". At most 255 characters. Empty: none.
	Type string

	// Payload is the message's value, at most 16 MiB unless WithMaxPayload says
	// less. Nil: a tombstone, which compacted topics take as a deletion; an
	// empty, non-nil slice is an empty value.
	Payload []byte

	// Headers travel beside the payload; at most 16 KiB as JSON. Names that start
	// with "_watermill_" or "postroom_" are reserved.
	Headers map[string]string

	// DeliverAt is when the event is to be delivered: not before, and as a rule within a
	// second after it, by the database's clock. Until then it waits in a table of its
	// own, from where Cancel takes it back. Zero: as soon as the transaction has
	// committed. A time that has passed is no error; the event goes out at the relay's
	// next look. Kept in microseconds, rounded up; the years 1970 to 9999.
	//
	// Scheduled events of one key are delivered in the order of their times, and of
	// equal times in the order in which they were added. Among events of the key that
	// are added without a time, a scheduled one stands where it is when its time has
	// come, not where it was added. It needs a relay and tables that know of it
	// (`relay migrate up`), and a database user with INSERT on outbox_scheduled.
	DeliverAt time.Time
}

// JSON returns v in JSON, the usual payload of an event. It is json.Marshal with
// an error that says which Go type could not be encoded.
func JSON(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("outbox: encode %T as JSON: %w", v, err)
	}
	return b, nil
}
