package relay

import (
	"database/sql"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"
)

// Outage is why an owner's sink does not take events, as the owner noted it.
type Outage struct {
	Since  time.Time // by the owner's clock
	Reason string    // "": there is no outage
}

// maxReason bounds the reason that is kept, in bytes.
const maxReason = 2000

type outageHint struct {
	Since  string `json:"since"`
	Reason string `json:"reason"`
}

// encodeOutage makes text that every database takes as JSON: PostgreSQL has no NUL.
func encodeOutage(since time.Time, reason string) string {
	if reason == "" {
		return "null"
	}
	reason = strings.ReplaceAll(strings.ToValidUTF8(reason, "\uFFFD"), "\x00", "\uFFFD")
	if len(reason) > maxReason {
		end := maxReason
		for !utf8.RuneStart(reason[end]) {
			end--
		}
		reason = reason[:end] + "…"
	}
	text, err := json.Marshal(outageHint{since.UTC().Format(time.RFC3339), reason})
	if err != nil {
		panic(err) // two strings
	}
	return string(text)
}

// ParseOutage reads the outage that the hints of a lease keep. It takes anything that is not what it should be
// for nothing: it is a hint.
func ParseOutage(kept sql.NullString) Outage {
	var hint outageHint
	if json.Unmarshal([]byte(kept.String), &hint) != nil || hint.Reason == "" {
		return Outage{}
	}
	since, err := time.Parse(time.RFC3339, hint.Since)
	if err != nil {
		return Outage{}
	}
	return Outage{Since: since, Reason: hint.Reason}
}
