package replica

import (
	"database/sql/driver"
	"encoding"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"time"

	"github.com/postroom/postroom/inbox"
)

// value converts a value, from JSON or from a caller, into what every driver accepts. A number is sent as text: the
// database reads it by the column's type, so no digit is lost. Errors do not contain the value.
func (r *Replica) value(column string, v any) (any, error) {
	if isNil(v) {
		return nil, nil // NULL
	}
	_, marshals := v.(json.Marshaler)
	if valuer, ok := v.(driver.Valuer); ok && !(marshals && r.json[column]) {
		plain, err := valuer.Value()
		if err != nil || plain == nil {
			return nil, err
		}
		v = plain // not converted once more: it may be a Valuer of the same type
	}
	if r.json[column] {
		if text, ok := v.([]byte); ok && json.Valid(text) {
			return string(text), nil // a Valuer of JSON returns this
		}
		return marshal(v)
	}
	switch v := v.(type) {
	case time.Time:
		return r.time(v), nil
	case *time.Time:
		return r.time(*v), nil
	case json.Number:
		return v.String(), nil
	case json.RawMessage:
		return string(v), nil
	}
	return r.byKind(column, v)
}

// byKind converts by the kind of the type, so it also accepts a program's own named types.
func (r *Replica) byKind(column string, v any) (any, error) {
	of := reflect.ValueOf(v)
	switch of.Kind() {
	case reflect.Bool:
		return of.Bool(), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return of.Int(), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return strconv.FormatUint(of.Uint(), 10), nil
	case reflect.Float32: // 0.1 and not 0.10000000149
		return strconv.ParseFloat(strconv.FormatFloat(of.Float(), 'g', -1, 32), 64)
	case reflect.Float64:
		return of.Float(), nil
	case reflect.String:
		return r.text(column, of.String())
	case reflect.Pointer:
		if k := of.Elem().Kind(); k != reflect.Struct && k != reflect.Array {
			return r.value(column, of.Elem().Interface())
		}
	}
	if text, ok := v.(encoding.TextMarshaler); ok { // netip.Addr, *big.Int, a UUID
		b, err := text.MarshalText()
		if err != nil {
			return nil, fmt.Errorf("%T cannot be text", v) // err may have the value
		}
		return string(b), nil
	}
	if of.Kind() == reflect.Slice && of.Type().Elem().Kind() == reflect.Uint8 {
		return of.Bytes(), nil
	}
	return marshal(v)
}

func (r *Replica) text(column, text string) (any, error) {
	switch {
	case r.times[column]:
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return nil, errors.New("not a time in RFC 3339") // err has the value
		}
		return r.time(at), nil
	case r.bytes[column]:
		return base64.StdEncoding.DecodeString(text)
	}
	return text, nil
}

func (r *Replica) time(t time.Time) string {
	if r.dialect == inbox.MySQL {
		return t.UTC().Format("2006-01-02 15:04:05.000000")
	}
	return t.UTC().Format("2006-01-02T15:04:05.000000Z")
}

func marshal(v any) (any, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("%T cannot be JSON", v) // err may have the value
	}
	return string(b), nil
}

// isNil reports whether v is NULL: nil, or a nil pointer, map or slice of any type.
func isNil(v any) bool {
	if v == nil {
		return true
	}
	switch of := reflect.ValueOf(v); of.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Interface:
		return of.IsNil()
	}
	return false
}
