package relay

import (
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"
)

// maxReason bounds the reason that is stored, in bytes.
const maxReason = 2000

type outageHint struct {
	Since  string `json:"since"`
	Reason string `json:"reason"`
}

// encodeOutage makes text that every database accepts as JSON. It removes NUL, which PostgreSQL does not
// accept.
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
		panic(err) // two strings cannot fail
	}
	return string(text)
}
