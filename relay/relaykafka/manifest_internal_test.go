package relaykafka

import (
	"math"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/postroom/postroom/relay"
)

func drawManifest(t *rapid.T) *manifest {
	id := rapid.Custom(func(t *rapid.T) uuid.UUID {
		return uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "uuid"))
	})
	return &manifest{
		Source: id.Draw(t, "source"), Owner: id.Draw(t, "owner"),
		Epoch: rapid.Int64().Draw(t, "epoch"), Transaction: rapid.Int64().Draw(t, "transaction"),
		Rows: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) relay.Sent {
			return relay.Sent{ID: rapid.Int64().Draw(t, "id"), EventID: id.Draw(t, "event")}
		}), 1, 50).Draw(t, "rows"),
	}
}

func TestAManifestReadsAsItWasWrittenHoweverSmallItsParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawManifest(t)
		limit := rapid.IntRange(manifestHeader+manifestRow, 2000).Draw(t, "limit")
		var rows []relay.Sent
		for _, value := range m.split(limit) {
			require.LessOrEqual(t, len(value), limit)
			part, err := decodeManifest(value)
			require.NoError(t, err)
			rows = append(rows, part.Rows...)
			part.Rows = m.Rows
			require.Equal(t, m, part)
		}
		require.Equal(t, m.Rows, rows)
	})
}

func TestAManifestOfConsecutiveRowsTakesSeventeenBytesARow(t *testing.T) {
	m := &manifest{Rows: make([]relay.Sent, 10_000)}
	for i := range m.Rows {
		m.Rows[i] = relay.Sent{ID: 5_000_000_000 + int64(i), EventID: uuid.New()}
	}
	values := m.split(maxManifest)
	require.Len(t, values, 1)
	require.Less(t, len(values[0]), 10_000*17+100)
}

func TestAManifestThatCannotBeReadSaysWhy(t *testing.T) {
	whole := (&manifest{Rows: []relay.Sent{{ID: 7}, {ID: 8}}}).append(nil)
	newer := append([]byte{}, whole...)
	newer[2] = 2
	many := append([]byte{}, whole[:len(whole)-2-2*uuidBytes-1]...)
	many = append(many, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 1, 2, 3)
	for name, c := range map[string]struct {
		value []byte
		want  string
	}{
		"nothing":              {nil, "not a manifest"},
		"something else":       {[]byte(`{"id":1}`), "not a manifest"},
		"of a later version":   {newer, "version 2"},
		"cut":                  {whole[:len(whole)-1], "ends too early"},
		"longer":               {append(append([]byte{}, whole...), 0), "1 bytes follow"},
		"more rows than bytes": {many, "ends too early"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decodeManifest(c.value)
			require.ErrorContains(t, err, c.want)
		})
	}
}

// For any bytes in a topic the result is an error, or a manifest that is the same after it was encoded again.
// The memory is bounded by the number of bytes.
func FuzzManifest(f *testing.F) {
	f.Add([]byte(nil))
	f.Add([]byte(manifestMagic))
	f.Add((&manifest{}).append(nil))
	f.Add((&manifest{Source: uuid.New(), Owner: uuid.New(), Epoch: 3, Transaction: 9, Rows: []relay.Sent{
		{ID: 1, EventID: uuid.New()}, {ID: 2, EventID: uuid.New()}, {ID: 1 << 40, EventID: uuid.New()},
	}}).append(nil))
	f.Add((&manifest{Rows: []relay.Sent{{ID: math.MaxInt64}, {ID: math.MinInt64}, {ID: -1}}}).append(nil))
	f.Add(append((&manifest{Rows: []relay.Sent{{ID: 1}}}).append(nil), 1))
	f.Fuzz(func(t *testing.T, value []byte) {
		m, err := decodeManifest(value)
		if err != nil {
			return
		}
		require.LessOrEqual(t, len(m.Rows)*(1+uuidBytes), len(value))
		again, err := decodeManifest(m.append(nil))
		require.NoError(t, err)
		require.Equal(t, m, again)
	})
}
