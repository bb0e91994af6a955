package relaykafka

import (
	"encoding/hex"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/internal/kafkarules"
	"github.com/postroom/postroom/relay"
)

// recordOverhead is what a buffered record costs in addition to its bytes: the item, the headers, and the
// client's own data.
const recordOverhead = 512

// encoder turns the records of one Deliver into kgo records. It takes all memory from slabs that live as long
// as the batch, because one allocation for each record would be slow.
type encoder struct {
	now     time.Time
	headers []kgo.RecordHeader
	values  []byte
	own     []relay.Header // scratch
	second  int64          // the second that stamp was made for
	stamp   [len("2006-01-02T15:04:05.")]byte
}

const plainHeaders = 3 // uuid, name, created_at

func newEncoder(records int) *encoder {
	return &encoder{
		now:     time.Now(),
		headers: make([]kgo.RecordHeader, 0, records*plainHeaders),
		values:  make([]byte, 0, records*(uuidLength+stampLength+16)),
		second:  -1 << 62,
	}
}

// encode fills in all of wire except its topic and its context, and returns the size of what it holds in
// memory. An error is a rejection: no retry would help. encode does not check whether the record is too
// large, because the validator does.
func (e *encoder) encode(wire *kgo.Record, r *relay.Record) (size int64, err error) {
	first := len(e.headers)
	if err := e.appendHeaders(r); err != nil {
		return 0, err
	}
	headers := e.headers[first:len(e.headers):len(e.headers)]
	bytes := len(r.Key) + len(r.Payload)
	for i := range headers {
		bytes += len(headers[i].Key) + len(headers[i].Value)
	}
	*wire = kgo.Record{Key: r.Key, Value: r.Payload, Headers: headers, Timestamp: e.now}
	return int64(bytes + recordOverhead), nil
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

// appendPlain does the same as AppendWireHeaders for a record without headers of its own, without allocating
// strings. Most records are such records.
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

// since returns what was appended to values since start. When values grows, the slices that were cut from the
// old array stay there, which is harmless.
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

// appendStamp writes t in the format of relay.HeaderCreatedAt. Most records of a batch were written in the
// same second, so only the microseconds are formatted again.
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

const (
	// kgoFraming is what kgo counts in addition to a batch: the length in front of it.
	kgoFraming = 4

	// batchFraming is an upper bound for what a batch adds to its only record, without headers.
	batchFraming = 128

	// requestFraming is an upper bound for what a request adds to its only batch. A broker accepts requests
	// of 100 MiB (socket.request.max.bytes).
	requestFraming = 1024

	// smallestBatch is the lowest limit that kgo accepts.
	smallestBatch = 512
)

// aloneSize is the size of a batch that holds only this record (kafkarules.AloneSize).
func aloneSize(r *kgo.Record) int {
	bytes := 0
	for i := range r.Headers {
		bytes += kafkarules.Field(len(r.Headers[i].Key)) + kafkarules.Field(len(r.Headers[i].Value))
	}
	return kafkarules.BatchSize(len(r.Key), len(r.Value), len(r.Headers), bytes)
}
