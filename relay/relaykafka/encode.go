package relaykafka

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/google/uuid"
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

const (
	// recordOverhead is what a buffered record costs beside its bytes: item,
	// headers, the client's bookkeeping.
	recordOverhead = 512

	// Upper bounds of what the wire adds to a record: the batch's header and the
	// record's own varints; for each header the two lengths. A record that passes
	// by these is never too large for kgo, whose own refusal would come too
	// late to stop the records behind it.
	batchFraming  = 128
	headerFraming = 10
)

// encoder turns the records of one Deliver into kgo records. Everything is cut from
// slabs that live as long as the batch: an allocation for each record is what would
// make this slow.
type encoder struct {
	session  *session
	now      time.Time
	items    []item
	headers  []kgo.RecordHeader
	values   []byte
	own      []relay.Header // scratch
	topic    *topic
	second   int64 // the second that stamp is of
	stamp    [len("2006-01-02T15:04:05.")]byte
	maxBytes int
}

const plainHeaders = 3 // uuid, name, created_at

func newEncoder(s *session, records int) *encoder {
	return &encoder{
		session:  s,
		now:      time.Now(),
		items:    make([]item, records),
		headers:  make([]kgo.RecordHeader, 0, records*plainHeaders),
		values:   make([]byte, 0, records*(uuidLength+stampLength+16)),
		second:   -1 << 62,
		maxBytes: int(s.sink.cfg.BatchMaxBytes),
	}
}

// encode fills the i-th item. An error is a rejection: no retry would help.
func (e *encoder) encode(i int, r *relay.Record) (*item, error) {
	if e.topic == nil || e.topic.name != r.Topic {
		e.topic = e.session.topicOf(r.Topic)
	}
	first := len(e.headers)
	if err := e.appendHeaders(r); err != nil {
		return nil, err
	}
	headers := e.headers[first:len(e.headers):len(e.headers)]
	bytes := len(r.Key) + len(r.Payload)
	for i := range headers {
		bytes += len(headers[i].Key) + len(headers[i].Value)
	}
	if most := bytes + batchFraming + len(headers)*headerFraming; most > e.maxBytes {
		return nil, fmt.Errorf("the record of row %d for topic %s has %d bytes on the wire, and batches are limited to %d: raise Config.BatchMaxBytes (--kafka-max-message-bytes) together with the brokers' message.max.bytes or the topic's max.message.bytes",
			r.ID, r.Topic, most, e.maxBytes)
	}
	it := &e.items[i]
	it.Context = e.session.gate
	it.session = e.session
	it.topic = e.topic
	it.record = r
	it.size = int64(bytes + recordOverhead)
	it.wire = kgo.Record{
		Topic:     e.topic.name,
		Key:       r.Key,
		Value:     r.Payload,
		Headers:   headers,
		Timestamp: e.now,
		Context:   it,
	}
	return it, nil
}

func (e *encoder) appendHeaders(r *relay.Record) error {
	if len(r.Headers) == 0 || string(r.Headers) == "{}" {
		e.appendPlain(r)
		return nil
	}
	own, err := r.AppendWireHeaders(e.own[:0])
	e.own = own
	if err != nil {
		return err
	}
	for _, h := range own {
		e.headers = append(e.headers, kgo.RecordHeader{Key: h.Name, Value: e.keep(h.Value)})
	}
	return nil
}

// appendPlain is AppendWireHeaders for a record without headers of its own, which
// most are, without its strings.
func (e *encoder) appendPlain(r *relay.Record) {
	start := len(e.values)
	e.values = appendUUID(e.values, r.EventID)
	e.headers = append(e.headers, kgo.RecordHeader{Key: relay.HeaderMessageUUID, Value: e.since(start)})
	if r.Type != "" {
		e.headers = append(e.headers, kgo.RecordHeader{Key: relay.HeaderName, Value: e.keep(r.Type)})
	}
	start = len(e.values)
	e.values = e.appendStamp(e.values, r.CreatedAt)
	e.headers = append(e.headers, kgo.RecordHeader{Key: relay.HeaderCreatedAt, Value: e.since(start)})
}

func (e *encoder) keep(s string) []byte {
	start := len(e.values)
	e.values = append(e.values, s...)
	return e.since(start)
}

// since returns what was appended to values since start. When values grows, what was
// cut from the old array stays there, which is fine.
func (e *encoder) since(start int) []byte { return e.values[start:len(e.values):len(e.values)] }

const uuidLength = 36

func appendUUID(dst []byte, id uuid.UUID) []byte {
	for i, n := range [...]int{4, 6, 8, 10, 16} {
		if i > 0 {
			dst = append(dst, '-')
		}
		dst = hex.AppendEncode(dst, id[[...]int{0, 4, 6, 8, 10}[i]:n])
	}
	return dst
}

const stampLength = len("2006-01-02T15:04:05.000000Z")

// appendStamp writes t as relay.HeaderCreatedAt has it. Records of a batch were
// mostly written in the same second, so only the microseconds are new.
func (e *encoder) appendStamp(dst []byte, t time.Time) []byte {
	if unix := t.Unix(); unix != e.second {
		full := t.UTC().AppendFormat(nil, "2006-01-02T15:04:05.")
		if len(full) != len(e.stamp) { // a year beyond 9999
			return t.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000000Z07:00")
		}
		copy(e.stamp[:], full)
		e.second = unix
	}
	dst = append(dst, e.stamp[:]...)
	micros := t.Nanosecond() / 1000
	for unit := 100_000; unit > 0; unit /= 10 {
		dst = append(dst, byte('0'+micros/unit%10))
	}
	return append(dst, 'Z')
}
