package relaykafka

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"github.com/postroom/postroom/relay"
)

// The fast path for a record without headers of its own must have the same result as the relay's
// AppendWireHeaders.
func TestTheFastHeadersAreTheRelaysHeaders(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) *relay.Record {
			return &relay.Record{
				EventID: uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id")),
				Topic:   rapid.SampledFrom([]string{"a", "b"}).Draw(t, "topic"),
				Type:    rapid.String().Draw(t, "type"),
				Headers: []byte(rapid.SampledFrom([]string{"", "{}", `{"x":"y"}`}).Draw(t, "headers")),
				CreatedAt: time.Unix(rapid.Int64Range(-70_000_000_000, 300_000_000_000).Draw(t, "second"),
					rapid.Int64Range(0, 999_999_999).Draw(t, "nanos")).
					In(time.FixedZone("", rapid.IntRange(-50_000, 50_000).Draw(t, "zone"))),
			}
		}), 1, 20).Draw(t, "records")
		e := newEncoder(len(records))
		wires := make([]kgo.Record, len(records))
		for i, r := range records {
			_, err := e.encode(&wires[i], r)
			require.NoError(t, err)
		}
		for i, r := range records { // after all were encoded, because none may overwrite another
			want, err := r.AppendWireHeaders(nil)
			require.NoError(t, err)
			require.Equal(t, want, plain(wires[i].Headers))
		}
	})
}

func plain(headers []kgo.RecordHeader) []relay.Header {
	var list []relay.Header
	for _, h := range headers {
		list = append(list, relay.Header{Name: h.Key, Value: string(h.Value)})
	}
	return list
}
