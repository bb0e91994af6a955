package replica

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	store "github.com/postroom/postroom/internal/store/replica"
)

// maxKey is the length of the gate's key column, in bytes.
const maxKey = 500

// row checks a change and converts its values into what drivers accept.
func (r *Replica) row(c Change) (store.Change, error) {
	row := store.Change{Version: c.Version, Deleted: c.Deleted, RunID: c.RunID, Again: c.RunID != "" || c.Partial}
	texts := make([]string, len(r.c.Key))
	for i, column := range r.c.Key {
		value, text, err := r.key(column, c.Values[column])
		if err != nil {
			return row, err
		}
		texts[i], row.Key = text, append(row.Key, value)
	}
	row.RowKey = rowKey(texts)
	switch {
	case c.Version <= 0:
		return row, fmt.Errorf("%w: key %q has version %d", ErrVersion, row.RowKey, c.Version)
	case row.RowKey == "" || len(row.RowKey) > maxKey:
		return row, fmt.Errorf("%w: the key has %d bytes, want 1 to %d", ErrValues, len(row.RowKey), maxKey)
	case c.Deleted:
		return row, nil
	}
	for _, column := range r.c.Columns {
		v, there := c.Values[column]
		if !there {
			return row, fmt.Errorf("%w: key %q has no column %q (the source must send NULL as well)", ErrValues,
				row.RowKey, column)
		}
		value, err := r.value(column, v)
		if err != nil {
			return row, fmt.Errorf("%w: column %q of key %q: %w", ErrValues, column, row.RowKey, err)
		}
		row.Values = append(row.Values, value)
	}
	return row, nil
}

// rowKey returns the key as the gate stores it: one column unchanged, several as a JSON array, so that ("a", "b,c") and
// ("a,b", "c") differ.
func rowKey(texts []string) string {
	if len(texts) == 1 {
		return texts[0]
	}
	b, _ := json.Marshal(texts) // strings cannot fail
	return string(b)
}

// keyOf is the inverse of rowKey. Its values are texts, because a database compares texts with columns of any type.
func (r *Replica) keyOf(rowKey string) ([]any, error) {
	if len(r.c.Key) == 1 {
		return []any{rowKey}, nil
	}
	var texts []string
	if err := json.Unmarshal([]byte(rowKey), &texts); err != nil || len(texts) != len(r.c.Key) {
		return nil, fmt.Errorf("key %q in inbox_replica_rows does not fit the declared key of %d columns: give "+
			"a replica with a new key a new Name", rowKey, len(r.c.Key))
	}
	key := make([]any, len(texts))
	for i, t := range texts {
		key[i] = t
	}
	return key, nil
}

func (r *Replica) key(column string, v any) (value any, text string, err error) {
	if n, ok := v.(json.Number); ok {
		if v, ok = integer(n); !ok { // 1, 1.0 and 1e0 would be three keys for one row
			return nil, "", fmt.Errorf("%w: key column %q is a number but not an integer", ErrValues, column)
		}
	}
	v, err = r.value(column, v)
	if err != nil {
		return nil, "", fmt.Errorf("%w: key column %q: %w", ErrValues, column, err)
	}
	switch v := v.(type) {
	case string:
		return v, v, nil
	case int64:
		return v, strconv.FormatInt(v, 10), nil
	}
	return nil, "", fmt.Errorf("%w: key column %q is %T, want an integer or text", ErrValues, column, v)
}

// integer returns the digits of a JSON number, and whether it is an integer.
func integer(n json.Number) (string, bool) {
	text := n.String()
	if text == "-0" {
		return "0", true
	}
	digits := strings.TrimPrefix(text, "-")
	return text, digits != "" && strings.Trim(digits, "0123456789") == ""
}
