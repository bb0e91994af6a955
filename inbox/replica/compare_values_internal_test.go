package replica

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox"
)

func TestValuesThatMeanTheSameHaveOneForm(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 29, 1, 30, 0, 123456000, time.UTC)
	for name, c := range map[string]struct {
		kind kind
		same []any
	}{
		"integers":  {asNumber, []any{int64(1200), "1200", []byte("1200.00"), "1.2e3", "+01200"}},
		"big ones":  {asNumber, []any{int64(9007199254740993), "9007199254740993", "9007199254740993.0"}},
		"fractions": {asNumber, []any{"-0.50", "-.5", -0.5, []byte("-5e-1")}},
		"zero":      {asNumber, []any{int64(0), "0.00", "-0", false, "false", "f"}},
		"true":      {asNumber, []any{true, "true", int64(1), "t"}},
		"bits":      {asBits, []any{[]byte{1, 0}, int64(256), "256"}},
		"doubles":   {asDouble, []any{0.1, "0.1", "0.1000000000000000055"}},
		"singles":   {asSingle, []any{float32(0.1), float64(float32(0.1)), "0.1"}},
		"times": {asTime, []any{at, "2026-03-29T01:30:00.123456Z", "2026-03-29T03:30:00.123456789+02:00",
			"2026-03-29 01:30:00.123456",
			[]byte("2026-03-29T01:30:00.123456"), "2026-03-29 03:30:00.123456+02"}},
		"dates": {asTime, []any{"2026-03-29", time.Date(2026, 3, 29, 0, 0, 0, 0, time.UTC), "2026-03-29 00:00:00"}},
		"JSON":  {asJSON, []any{`{"a":[1.0,"x"],"b":null}`, []byte(`{ "b": null, "a": [1, "\u0078"] }`)}},
		"UUIDs": {asUUID,
			[]any{"018F3C1E-8f2a-7000-8000-000000000001", []byte("018f3c1e-8f2a-7000-8000-000000000001")}},
		"texts": {asText, []any{"a", []byte("a")}},
	} {
		want := string(canonical(nil, c.kind, c.same[0]))
		for _, v := range c.same[1:] {
			require.Equal(t, want, string(canonical(nil, c.kind, v)), "%s: %v", name, v)
		}
	}
}

func TestValuesThatDifferHaveDifferentForms(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind   kind
		differ []any
	}{
		"numbers": {asNumber, []any{nil, "", "1", "-1", "10", "0.1", "0", "9007199254740993", "9007199254740992",
			"no number", "1 ", "1e", "NaN", "1.2.3"}},
		"texts": {asText, []any{nil, "", " ", "a", "A", "a ", "n", "0"}},
		"times": {asTime, []any{nil, "", "2026-03-29T01:30:00.123456Z", "2026-03-29T01:30:00.123457Z",
			"2026-03-29T01:30:00.123456+01:00", "soon"}},
		"JSON": {asJSON, []any{nil, "null", `"null"`, "{}", "[]", `["a,"]`, `["a",""]`, `{"a":"1"}`, `{"a":1}`,
			`{"a":1} x`, "no JSON"}},
		"doubles": {asDouble, []any{"0.1", "0.10000000000000002", "NaN", "1e999", nil}},
	} {
		seen := map[string]any{}
		for _, v := range c.differ {
			form := string(canonical(nil, c.kind, v))
			require.NotContains(t, seen, form, "%s: %v and %v", name, v, seen[form])
			seen[form] = v
		}
	}
}

func TestTypesOfEveryDatabaseHaveTheirKind(t *testing.T) {
	t.Parallel()
	for k, names := range map[kind][]string{
		asText: {"", "TEXT", "VARCHAR", "VARCHAR(100)", "BPCHAR", "BYTEA", "BLOB", "LONGBLOB", "3802x"},
		asNumber: {"INT8", "BIGINT", "UNSIGNED BIGINT", "TINYINT", "bigint", "INTEGER", "NUMERIC", "DECIMAL(10,2)",
			"BOOL", "BOOLEAN"},
		asDouble: {"FLOAT8", "DOUBLE", "REAL"}, asSingle: {"FLOAT4", "FLOAT"},
		asTime: {"TIMESTAMPTZ", "DATETIME", "DATE", "TIMESTAMP"}, asJSON: {"JSON", "JSONB"}, asUUID: {"UUID"},
		asBits: {"BIT"},
	} {
		for _, name := range names {
			require.Equal(t, k, kindOf(inbox.MySQL, name), name)
		}
	}
	require.Equal(t, asSingle, kindOf(inbox.PostgreSQL, "FLOAT4"))
	require.Equal(t, asDouble, kindOf(inbox.SQLite, "FLOAT"), "of 8 bytes, whatever it is called")
}
