package replica

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postroom/postroom/inbox"
)

// kind says which values of a column are equal.
type kind int

const (
	asText   kind = iota // the same bytes; NULL differs from an empty text
	asNumber             // the same number in any notation; true is 1
	asDouble             // the same float64
	asSingle             // the same float32
	asTime               // the same microsecond; a time without a zone is UTC
	asJSON               // the same JSON; the order of members, spaces and the notation of numbers do not matter
	asUUID               // the same UUID; upper and lower case do not matter
	asBits               // the same number, which the driver returns as bytes
)

// kindOf returns the kind for the name of a column's type.
func kindOf(d inbox.Dialect, typeName string) kind {
	name, _, _ := strings.Cut(strings.ToUpper(typeName), "(")
	name = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(name), "UNSIGNED "))
	switch name {
	case "FLOAT4", "FLOAT":
		if d == inbox.SQLite { // its floats all have 8 bytes
			return asDouble
		}
		return asSingle
	case "FLOAT8", "DOUBLE", "REAL", "DOUBLE PRECISION":
		return asDouble
	case "DATE", "DATETIME", "TIMESTAMP", "TIMESTAMPTZ":
		return asTime
	case "JSON", "JSONB":
		return asJSON
	case "UUID":
		return asUUID
	case "BIT":
		return asBits
	case "BOOL", "BOOLEAN", "NUMERIC", "DECIMAL", "YEAR", "INT2", "INT4", "INT8":
		return asNumber
	}
	if strings.HasSuffix(name, "INT") || name == "INTEGER" {
		return asNumber
	}
	return asText
}

// Each value begins with a tag for its kind, so that NULL, "" and 0 differ.
const (
	tagNull   = 'n'
	tagNumber = '#'
	tagTime   = '@'
	tagJSON   = 'j'
	tagText   = '"'
)

// canonical appends v in a form that is the same for equal values, whichever driver returned them. A value that does
// not fit the kind is appended as text.
func canonical(b []byte, k kind, v any) []byte {
	if v == nil {
		return append(b, tagNull)
	}
	start := len(b)
	ok := false
	switch k {
	case asNumber, asBits:
		b, ok = number(append(b, tagNumber), plain(nil, v, k == asBits))
	case asDouble, asSingle:
		b, ok = float(append(b, tagNumber), plain(nil, v, false), k == asSingle)
	case asTime:
		b, ok = moment(append(b, tagTime), v)
	case asJSON:
		b, ok = document(append(b, tagJSON), plain(nil, v, false))
	case asUUID:
		return append(append(b, tagText), bytes.ToLower(plain(nil, v, false))...)
	}
	if ok {
		return b
	}
	return plain(append(b[:start], tagText), v, false)
}

// plain appends a value as text.
func plain(b []byte, v any, bits bool) []byte {
	switch v := v.(type) {
	case []byte:
		if bits && len(v) <= 8 {
			n := uint64(0)
			for _, c := range v {
				n = n<<8 | uint64(c)
			}
			return strconv.AppendUint(b, n, 10)
		}
		return append(b, v...)
	case string:
		return append(b, v...)
	case bool:
		if v {
			return append(b, '1')
		}
		return append(b, '0')
	case int64:
		return strconv.AppendInt(b, v, 10)
	case float64:
		return strconv.AppendFloat(b, v, 'g', -1, 64)
	case float32:
		return strconv.AppendFloat(b, float64(v), 'g', -1, 32)
	case time.Time:
		return v.UTC().AppendFormat(b, "2006-01-02T15:04:05.000000Z")
	}
	return fmt.Append(b, v)
}

// number appends a decimal number as its digits without zeros at either end, and a power of ten. So no digit is lost.
func number(b, text []byte) ([]byte, bool) {
	switch string(text) {
	case "t", "true":
		text = []byte("1")
	case "f", "false":
		text = []byte("0")
	}
	start, rest := len(b), text
	if len(rest) > 0 && (rest[0] == '-' || rest[0] == '+') {
		if rest[0] == '-' {
			b = append(b, '-')
		}
		rest = rest[1:]
	}
	exponent := 0
	if i := bytes.IndexAny(rest, "eE"); i >= 0 {
		n, err := strconv.Atoi(string(rest[i+1:]))
		if err != nil {
			return b, false
		}
		exponent, rest = n, rest[:i]
	}
	whole, fraction, _ := bytes.Cut(rest, []byte("."))
	if len(whole)+len(fraction) == 0 {
		return b, false
	}
	exponent -= len(fraction)
	digits := len(b)
	for _, c := range slices.Concat(whole, fraction) {
		if c < '0' || c > '9' {
			return b, false
		}
		if c != '0' || len(b) > digits {
			b = append(b, c)
		}
	}
	for len(b) > digits && b[len(b)-1] == '0' {
		b, exponent = b[:len(b)-1], exponent+1
	}
	if len(b) == digits {
		return append(b[:start], '0'), true
	}
	return strconv.AppendInt(append(b, 'e'), int64(exponent), 10), true
}

func float(b, text []byte, single bool) ([]byte, bool) {
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return b, false
	}
	if single {
		return number(b, strconv.AppendFloat(nil, float64(float32(f)), 'g', -1, 32))
	}
	return number(b, strconv.AppendFloat(nil, f, 'g', -1, 64))
}

// moments are the layouts of times in databases and in JSON.
var moments = [...]string{
	time.RFC3339Nano, "2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999",
	"2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999Z07", "2006-01-02",
}

func moment(b []byte, v any) ([]byte, bool) {
	at, ok := v.(time.Time)
	if !ok {
		text := string(plain(nil, v, false))
		for _, layout := range moments {
			var err error
			if at, err = time.Parse(layout, text); err == nil {
				ok = true
				break
			}
		}
	}
	if !ok {
		return b, false
	}
	return strconv.AppendInt(b, at.UnixMicro(), 10), true
}

func document(b, text []byte) ([]byte, bool) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return b, false
	}
	if _, err := d.Token(); err != io.EOF {
		return b, false
	}
	return member(b, v), true
}

func member(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...)
	case bool:
		return strconv.AppendBool(b, v)
	case json.Number:
		b, _ = number(b, []byte(v))
		return b
	case string:
		return strconv.AppendQuote(b, v)
	case []any:
		b = append(b, '[')
		for _, e := range v {
			b = append(member(b, e), ',')
		}
		return append(b, ']')
	case map[string]any:
		b = append(b, '{')
		names := make([]string, 0, len(v))
		for name := range v {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			b = append(member(append(strconv.AppendQuote(b, name), ':'), v[name]), ',')
		}
		return append(b, '}')
	}
	return b
}
