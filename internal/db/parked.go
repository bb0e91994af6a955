package db

import (
	"strings"
	"unicode/utf8"
)

// States of a row of outbox_parked and of inbox_parked.
const (
	ParkedFailed  = "failed"  // the sink rejected the event, or the handler failed too often
	ParkedBlocked = "blocked" // waits behind an earlier row of its key
	ParkedRetry   = "retry"   // requested: to be sent or handled again
	ParkedDrop    = "drop"    // requested: to be deleted
)

// MaxParkedError is how much of an error a parked row keeps, in bytes of UTF-8. Statements in .sql files have the
// number too, and a test holds it against this one.
const MaxParkedError = 4000

// KeepError returns what a parked row keeps of an error: valid UTF-8 without NUL, which PostgreSQL does not store,
// of at most MaxParkedError bytes.
func KeepError(text string) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
	if len(text) <= MaxParkedError {
		return text
	}
	end := MaxParkedError
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}
