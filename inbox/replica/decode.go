package replica

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Headers that outbox/backfill sets.
const (
	HeaderRun     = "backfill_run"     // in each event of a run: its id
	HeaderSent    = "backfill_sent"    // in an end marker: rows sent to this topic
	HeaderStarted = "backfill_started" // in an end marker: RFC 3339
)

// End is what a backfill says at its end.
type End struct {
	Sent    int64     // rows of the run in this topic
	Started time.Time // by the source's clock
}

// Decode reads a message's headers and its payload, a JSON object with the declared
// columns, "version", and "deleted" where it is true: {"version":7,"id":42,"name":"x"}.
// Numbers keep all their digits. Markers and rows of a backfill are known by headers.
func Decode(headers map[string]string, payload []byte) (Change, error) {
	c := Change{RunID: headers[HeaderRun]}
	if sent, marker := headers[HeaderSent]; marker {
		n, err := strconv.ParseInt(sent, 10, 64)
		started, err2 := time.Parse(time.RFC3339Nano, headers[HeaderStarted])
		if err := errors.Join(err, err2); err != nil || n < 0 || c.RunID == "" {
			return Change{}, fmt.Errorf("end marker of backfill %q cannot be read: %w", c.RunID, errors.Join(ErrValues, err))
		}
		c.End = &End{Sent: n, Started: started}
		return c, nil
	}
	d := json.NewDecoder(bytes.NewReader(payload))
	d.UseNumber()
	if err := d.Decode(&c.Values); err != nil {
		return Change{}, fmt.Errorf("%w: the payload is no JSON object: %w", ErrValues, err)
	}
	number, _ := c.Values["version"].(json.Number)
	version, err := strconv.ParseInt(number.String(), 10, 64)
	if err != nil {
		return Change{}, fmt.Errorf("%w: the payload has no whole number \"version\"", ErrVersion)
	}
	c.Version = version
	if deleted := c.Values["deleted"]; deleted != nil {
		var ok bool
		if c.Deleted, ok = deleted.(bool); !ok { // 1 or "true" taken for false would bring the row back
			return Change{}, fmt.Errorf("%w: \"deleted\" of the payload is neither true nor false", ErrValues)
		}
	}
	return c, nil
}
