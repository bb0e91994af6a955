package outbox

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Event is something that happened in a service and that others should learn of.
type Event struct {
	// ID is how consumers recognise duplicates. On the wire it is the Watermill
	// message UUID. Zero: Add makes a UUIDv7. Set it only when the event already
	// has a UUID that is unique across all services that write to the topic.
	ID uuid.UUID

	// Topic is where the event goes: 1 to 249 of a-z, A-Z, 0-9, '.', '_' and
	// '-', which is what Kafka allows (see WithAnyTopic).
	Topic string

	// Key keeps the order: events of one topic and key arrive in the order in which
	// their transactions committed. It is usually the aggregate's id. At most
	// 512 bytes of UTF-8 without NUL; compared byte by byte. Empty: no key and no order.
	Key string

	// Type is the event's name, such as "order.placed". It is sent in the header
	// "name". At most 255 characters. Empty: none.
	Type string

	// Payload is the message's value, at most 16 MiB unless WithMaxPayload says
	// less. Nil: a tombstone, which compacted topics take as a deletion; an
	// empty, non-nil slice is an empty value.
	Payload []byte

	// Headers are sent with the payload; at most 16 KiB as JSON. Names that start
	// with "_watermill_" or "postroom_" are reserved.
	Headers map[string]string

	// DeliverAt is the earliest time of delivery, by the database's clock. The event is
	// usually delivered within a second after it. Until then it waits in a table of its
	// own, and Cancel can take it back. Zero: as soon as the transaction has committed. A
	// time in the past is no error: the relay delivers the event when it next reads that
	// table. Kept in microseconds, rounded up; the years 1970 to 9999.
	//
	// Scheduled events of one key are delivered in the order of their times. If the times
	// are equal, they are delivered in the order in which they were added. A scheduled
	// event comes after the events of its key that were added without a time before its
	// time came. DeliverAt needs a relay and tables that know of it
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
