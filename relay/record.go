package relay

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/google/uuid"

	store "github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/relay/internal/inflight"
	"github.com/postroom/postroom/relay/internal/lanes"
)

// Names of the headers that Postroom sets on the wire. An event may set
// HeaderName itself; names that start with one of reservedPrefixes are ours alone.
const (
	// HeaderMessageUUID carries the event id. It is the header in which
	// watermill-kafka's DefaultMarshaler keeps a message's UUID.
	HeaderMessageUUID = "_watermill_message_uuid"
	// HeaderName carries the event type, under the name that Watermill's CQRS
	// component reads. Left out when the type is empty.
	HeaderName = "name"
	// HeaderCreatedAt is the time at which the row was written, RFC 3339 with
	// microseconds, UTC.
	HeaderCreatedAt = "postroom_created_at"
)

var reservedPrefixes = [...]string{"_watermill_", "postroom_"}

// Record is an event on its way from the outbox table to a sink. Sinks read it and must not change it. They
// may keep it until they acknowledge it.
type Record struct {
	ID        int64     // the row's id, unique within its source, for logs
	EventID   uuid.UUID // what consumers deduplicate by
	Topic     string
	Key       []byte // nil: no key, and so no order
	Type      string // "": none
	Payload   []byte // nil: a tombstone
	Headers   []byte // the event's own headers: a JSON object, or empty
	CreatedAt time.Time

	entry *inflight.Entry
	lane  *lanes.Lane
	seq   int64 // of a parked row that is sent again; 0: the row is in outbox_events
}

// letGo drops a record's contents, because other records of the same slab may stay in memory for long.
func (r *Record) letGo() { r.Key, r.Payload, r.Headers = nil, nil, nil }

func (r *Record) event() store.Event { return store.Event{ID: r.ID, EventID: r.EventID} }

// SetPosition notes where the broker stored the record, for the archive. A session that knows the position
// calls it before it acknowledges the record. Other sessions do not call it.
func (r *Record) SetPosition(partition int32, offset int64) {
	if r.entry != nil {
		r.entry.Partition, r.entry.Offset, r.entry.Placed = partition, offset, true
	}
}

// SetTransaction notes the number of the transaction in which the record was published. A
// TransactionalSession calls it before it acknowledges the record. Numbers start at 1 and ascend.
func (r *Record) SetTransaction(n int64) {
	if r.entry != nil {
		r.entry.Transaction = n
	}
}

// Header is one name and value on the wire.
type Header struct{ Name, Value string }

// AppendWireHeaders appends every header of the record's wire format to dst, sorted by name in byte order,
// and returns the extended slice. The headers are the event id, the type, the creation time and the event's
// own headers. A header whose value in the table is not a JSON string is sent as compact JSON. If one of the
// event's own headers has a reserved name, it is dropped, because consumers trust that Postroom sets these
// headers.
//
// An error says that Headers is not a JSON object. The record is then a rejection, because no retry can
// repair it.
func (r *Record) AppendWireHeaders(dst []Header) ([]Header, error) {
	start := len(dst)
	dst = append(dst, Header{HeaderMessageUUID, r.EventID.String()})
	own, hasName, err := appendOwnHeaders(dst, r.Headers)
	if err != nil {
		return dst[:start], fmt.Errorf("headers of row %d are not a JSON object: %w", r.ID, err)
	}
	plain := len(own) == len(dst)
	dst = own
	if !hasName && r.Type != "" {
		dst = append(dst, Header{HeaderName, r.Type})
	}
	dst = append(dst, Header{HeaderCreatedAt, r.CreatedAt.UTC().Format(createdAtFormat)})
	if !plain {
		mine := dst[start:]
		sort.Slice(mine, func(i, j int) bool { return mine[i].Name < mine[j].Name })
	}
	return dst, nil
}

const createdAtFormat = "2006-01-02T15:04:05.000000Z07:00"

func appendOwnHeaders(dst []Header, object []byte) (_ []Header, hasName bool, _ error) {
	if len(object) == 0 || string(object) == "{}" {
		return dst, false, nil
	}
	var values map[string]json.RawMessage
	if err := json.Unmarshal(object, &values); err != nil {
		return dst, false, err
	}
	for name, raw := range values {
		if isReserved(name) {
			continue
		}
		value, err := headerValue(raw)
		if err != nil {
			return dst, false, err
		}
		hasName = hasName || name == HeaderName
		dst = append(dst, Header{name, value})
	}
	return dst, hasName, nil
}

func headerValue(raw json.RawMessage) (string, error) {
	if len(raw) > 0 && raw[0] == '"' {
		var s string
		err := json.Unmarshal(raw, &s)
		return s, err
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, raw); err != nil {
		return "", err
	}
	return compact.String(), nil
}

func isReserved(name string) bool {
	for _, p := range reservedPrefixes {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

func orderKey(topic string, key []byte) string { return topic + "\x00" + string(key) }

// newRecord copies a row out of the driver's buffers.
func newRecord(into *Record, row *store.Row) {
	*into = Record{
		ID: row.ID, EventID: uuid.UUID(row.EventID), Topic: row.Topic, Key: row.Key, Type: row.Type,
		Payload: row.Payload, Headers: row.Headers, CreatedAt: row.CreatedAt,
	}
}

// recordOverhead is what a record costs in memory in addition to its own bytes, in this package and in a
// sink.
const recordOverhead = 512

func recordSize(r *Record) int64 {
	return int64(recordOverhead + len(r.Topic) + len(r.Key) + len(r.Type) + len(r.Payload) + len(r.Headers))
}
