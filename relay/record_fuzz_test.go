package relay

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// Whatever the headers column contains, the headers on the wire are sorted, each name occurs once, and the
// names that consumers trust come from Postroom.
func FuzzWireHeaders(f *testing.F) {
	for _, seed := range []string{
		`{}`, ``, `{"a":"b"}`, `{"name":"mine","a":1}`, `{"_watermill_message_uuid":"x"}`,
		`{"postroom_created_at":"x"}`,
		`{"a":{"b": [1, 2]}}`, `{"":""}`, `{"a":null}`, `{"ä":"\u0000"}`, `[1]`, `{"a":1e400}`,
		`{"a":"` + "\xff" + `"}`, `{"a":"b","a":"c"}`,
	} {
		f.Add([]byte(seed), "type")
	}
	f.Fuzz(func(t *testing.T, object []byte, eventType string) {
		r := &Record{EventID: uuid.New(), Type: eventType, Headers: object, CreatedAt: time.Unix(1, 0)}
		before := []Header{{"kept", "kept"}}
		all, err := r.AppendWireHeaders(before)
		require.Equal(t, Header{"kept", "kept"}, all[0])
		headers := all[1:]
		if err != nil {
			require.Empty(t, headers, "nothing is appended beside an error")
			return
		}
		require.True(t, len(object) == 0 || json.Valid(object))
		require.True(t, slices.IsSortedFunc(headers, func(a, b Header) int {
			if a.Name < b.Name {
				return -1
			}
			return 1 // equal names fail too, because each must occur once
		}), "%v", headers)
		ours := map[string]string{HeaderMessageUUID: r.EventID.String(), HeaderCreatedAt: "1970-01-01T00:00:01.000000Z"}
		for _, h := range headers {
			if want, mine := ours[h.Name]; mine {
				require.Equal(t, want, h.Value)
				delete(ours, h.Name)
			} else {
				require.False(t, isReserved(h.Name), h.Name)
			}
		}
		require.Empty(t, ours, "our headers are there")
	})
}
