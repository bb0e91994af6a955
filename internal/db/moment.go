package db

import (
	"fmt"
	"regexp"
	"time"
)

var timeColumn = regexp.MustCompile(`\{[a-z_]+\}`)

// TimeColumns writes the columns in braces as TimeText does.
func (n Names) TimeColumns(columns string) string {
	return timeColumn.ReplaceAllStringFunc(columns, func(s string) string { return n.TimeText(s[1 : len(s)-1]) })
}

// Moment scans a time that TimeText has written. NULL is the zero time.
type Moment time.Time

// Scan implements sql.Scanner.
func (m *Moment) Scan(src any) error {
	var text string
	switch src := src.(type) {
	case nil:
		*m = Moment{}
		return nil
	case string:
		text = src
	case []byte:
		text = string(src)
	case time.Time:
		*m = Moment(src.UTC())
		return nil
	default:
		return fmt.Errorf("a time came as %T", src)
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	*m = Moment(at)
	return err
}
