package dialect

import (
	"context"
	"database/sql"
)

// What internal/doctor/facts asks of this package, until the subjects that it is part of have their own.

// BlindSince is the expression of what NoteBlind wrote: empty or NULL if the owner reaches its sink.
func BlindSince(n Names) string { return blindSince(n) }

// OutageText is the expression that ParseOutage reads.
func OutageText(n Names) string { return outageOf(n) }

// ParseOutage takes anything that is not what it should be for nothing: it is a hint.
func ParseOutage(kept sql.NullString) Outage { return parseOutage(kept) }

// ParseTopics reads the topics that the hints of a lease keep.
func ParseTopics(kept sql.NullString) map[string]string { return parseUsedTopics(kept) }

// ReadOldest returns the undelivered event with the lowest id; nil: there is none.
func ReadOldest(ctx context.Context, tx *sql.Tx, n Names) (*OldestEvent, error) {
	var s SourceStatus
	err := s.readOldest(ctx, tx, n.Expand(statusQueries(n).oldest))
	return s.Oldest, err
}

// MayLook reports whether this user has MySQL's right PROCESS.
func MayLook(ctx context.Context, conn *sql.DB, n Names) (bool, error) {
	return writersMySQL{db: conn, names: n}.mayLook(ctx)
}
