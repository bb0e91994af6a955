package dialect

import (
	"fmt"
	"regexp"
	"time"
)

var timeColumn = regexp.MustCompile(`\{[a-z_]+\}`)

// timeColumns writes the columns in braces as timeText does.
func (n Names) timeColumns(columns string) string {
	return timeColumn.ReplaceAllStringFunc(columns, func(s string) string { return n.timeText(s[1 : len(s)-1]) })
}

// momentText scans a time that timeText has written. NULL is the zero time.
type momentText time.Time

// Scan implements sql.Scanner.
func (m *momentText) Scan(src any) error {
	var text string
	switch src := src.(type) {
	case nil:
		*m = momentText{}
		return nil
	case string:
		text = src
	case []byte:
		text = string(src)
	case time.Time:
		*m = momentText(src.UTC())
		return nil
	default:
		return fmt.Errorf("a time came as %T", src)
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	*m = momentText(at)
	return err
}
