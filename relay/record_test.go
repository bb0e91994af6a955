package relay

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func TestWireHeadersAreSortedAndComplete(t *testing.T) {
	const id = "01890a5d-ac96-774b-bcce-b302099a8057"
	created := time.Date(2026, 11, 23, 9, 5, 0, 1000, time.FixedZone("CET", 3600))
	uuidHeader := Header{HeaderMessageUUID, id}
	createdHeader := Header{HeaderCreatedAt, "2026-11-23T08:05:00.000001Z"}
	for _, each := range []struct {
		name, eventType, headers string
		want                     []Header
	}{
		{"none of its own", "order.placed", "{}", []Header{uuidHeader, {"name", "order.placed"}, createdHeader}},
		{"no type", "", "", []Header{uuidHeader, createdHeader}},
		{"sorted by bytes", "t", `{"a": "1", "Z": "2"}`,
			[]Header{{"Z", "2"}, uuidHeader, {"a", "1"}, {"name", "t"}, createdHeader}},
		{"the event's own name wins", "t", `{"name": "mine"}`, []Header{uuidHeader, {"name", "mine"}, createdHeader}},
		{"other values are compact JSON", "", `{"n": 1.50, "o": {"x": [1, null]}, "b": true, "z": null}`,
			[]Header{uuidHeader, {"b", "true"}, {"n", "1.50"}, {"o", `{"x":[1,null]}`}, createdHeader, {"z", "null"}}},
		{"reserved names are ours", "", `{"_watermill_x": "1", "postroom_created_at": "2"}`,
			[]Header{uuidHeader, createdHeader}},
		{"escapes", "", `{"é\n": "\"\u00e9"}`, []Header{uuidHeader, createdHeader, {"é\n", `"é`}}},
	} {
		t.Run(each.name, func(t *testing.T) {
			r := Record{EventID: uuid.MustParse(id), Type: each.eventType, Headers: []byte(each.headers),
				CreatedAt: created}
			got, err := r.AppendWireHeaders(nil)
			require.NoError(t, err)
			require.Equal(t, each.want, got)
		})
	}
}

func TestHeadersThatAreNoObjectAreAnErrorThatNamesTheRow(t *testing.T) {
	r := Record{ID: 7, Headers: []byte(`[1]`)}
	got, err := r.AppendWireHeaders(make([]Header, 1))
	require.ErrorContains(t, err, "row 7")
	require.Len(t, got, 1, "what was there before stays, and nothing is added")
}
