package main

import (
	"encoding/hex"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// batch holds the rows of one read, as records. It is used again once its rows are
// deleted, and so are its arrays.
type batch struct {
	lo, hi  int64 // the ids read
	records []kgo.Record
	headers []kgo.RecordHeader
	bytes   []byte // what keys, payloads and headers point into
	left    atomic.Int64
	plain   bool
	now     time.Time
	topic   string
	second  int64
	stamp   [len("2006-01-02T15:04:05.")]byte
}

// row is what a read shows of a row; its bytes are the driver's.
type row struct {
	id      int64
	eventID [16]byte
	topic   []byte
	key     []byte
	typ     []byte
	payload []byte
	created int64 // microseconds since 1970
}

const headersOfRow = 3

func newBatch(rows int, plain bool) *batch {
	return &batch{
		records: make([]kgo.Record, 0, rows),
		headers: make([]kgo.RecordHeader, 0, rows*headersOfRow),
		plain:   plain,
	}
}

func (b *batch) reset() {
	b.lo, b.hi = 0, 0
	b.records, b.headers, b.bytes = b.records[:0], b.headers[:0], b.bytes[:0]
	b.now = time.Now()
}

func (b *batch) add(r row) {
	if len(b.records) == 0 {
		b.lo = r.id
	}
	b.hi = r.id
	if string(r.topic) != b.topic {
		b.topic = string(r.topic)
	}
	b.records = append(b.records, kgo.Record{
		Topic: b.topic, Key: b.keep(r.key), Value: b.keep(r.payload), Headers: b.headersFor(r), Timestamp: b.now,
	})
}

// keep copies. When bytes grows, what was cut from the old array stays there.
func (b *batch) keep(value []byte) []byte {
	if value == nil {
		return nil
	}
	start := len(b.bytes)
	b.bytes = append(b.bytes, value...)
	return b.bytes[start:len(b.bytes):len(b.bytes)]
}

// headersFor makes the headers that the relay sends for an event without its own.
func (b *batch) headersFor(r row) []kgo.RecordHeader {
	if b.plain {
		return nil
	}
	first, start := len(b.headers), len(b.bytes)
	for i, n := range [...]int{4, 6, 8, 10, 16} {
		if i > 0 {
			b.bytes = append(b.bytes, '-')
		}
		b.bytes = hex.AppendEncode(b.bytes, r.eventID[[...]int{0, 4, 6, 8, 10}[i]:n])
	}
	b.headers = append(
		b.headers, kgo.RecordHeader{Key: "_watermill_message_uuid", Value: b.bytes[start:len(b.bytes):len(b.bytes)]},
	)
	if len(r.typ) > 0 {
		b.headers = append(b.headers, kgo.RecordHeader{Key: "name", Value: b.keep(r.typ)})
	}
	start = len(b.bytes)
	b.appendStamp(r.created)
	b.headers = append(
		b.headers, kgo.RecordHeader{Key: "postroom_created_at", Value: b.bytes[start:len(b.bytes):len(b.bytes)]},
	)
	return b.headers[first:len(b.headers):len(b.headers)]
}

// appendStamp formats a second once.
func (b *batch) appendStamp(micros int64) {
	if second := micros / 1_000_000; second != b.second {
		time.Unix(second, 0).UTC().AppendFormat(b.stamp[:0], "2006-01-02T15:04:05.")
		b.second = second
	}
	b.bytes = append(b.bytes, b.stamp[:]...)
	rest := micros % 1_000_000
	for unit := int64(100_000); unit > 0; unit /= 10 {
		b.bytes = append(b.bytes, byte('0'+rest/unit%10))
	}
	b.bytes = append(b.bytes, 'Z')
}
