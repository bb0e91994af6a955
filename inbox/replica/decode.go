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
	HeaderRun     = "backfill_run"     // in each event of a run that is not partial: its id
	HeaderPartial = "backfill_partial" // in each event of a partial run: true
	HeaderSent    = "backfill_sent"    // in an end marker: rows sent
	HeaderStarted = "backfill_started" // in an end marker: RFC 3339
)

// End is the end marker of a backfill.
type End struct {
	Sent    int64     // number of rows of the run
	Started time.Time // by the source's clock
}

// Decode reads a message's headers and its payload. The payload is a JSON object with the declared columns, "version",
// and "deleted" if it is true: {"version":7,"id":42,"name":"x"}. Numbers keep all their digits. The headers say whether
// the message is a row or the end marker of a backfill.
func Decode(headers map[string]string, payload []byte) (Change, error) {
	c, err := backfillHeaders(headers)
	if err != nil || c.End != nil {
		return c, err
	}
	d := json.NewDecoder(bytes.NewReader(payload))
	d.UseNumber()
	if err := d.Decode(&c.Values); err != nil {
		return Change{}, fmt.Errorf("%w: the payload is not a JSON object: %w", ErrValues, err)
	}
	number, _ := c.Values["version"].(json.Number)
	version, err := strconv.ParseInt(number.String(), 10, 64)
	if err != nil {
		return Change{}, fmt.Errorf("%w: the payload has no integer \"version\"", ErrVersion)
	}
	c.Version = version
	if deleted := c.Values["deleted"]; deleted != nil {
		var ok bool
		if c.Deleted, ok = deleted.(bool); !ok { // if 1 or "true" counted as false, the row would be restored
			return Change{}, fmt.Errorf("%w: \"deleted\" in the payload is neither true nor false", ErrValues)
		}
	}
	return c, nil
}

// backfillHeaders reads the headers of a backfill: a whole end marker, or the run of a row.
func backfillHeaders(headers map[string]string) (Change, error) {
	c := Change{RunID: headers[HeaderRun], Partial: headers[HeaderPartial] == "true"}
	sent, marker := headers[HeaderSent]
	if !marker {
		return c, nil
	}
	n, err := strconv.ParseInt(sent, 10, 64)
	started, err2 := time.Parse(time.RFC3339Nano, headers[HeaderStarted])
	if err := errors.Join(err, err2); err != nil || n < 0 || c.RunID == "" {
		return Change{}, fmt.Errorf("cannot read the end marker of backfill %q: %w", c.RunID,
			errors.Join(ErrValues, err))
	}
	c.End = &End{Sent: n, Started: started}
	return c, nil
}
