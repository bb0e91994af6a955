package dialect

import (
	"context"
	"database/sql"

	"github.com/postroom/postroom/internal/store/relay"
)

// What internal/doctor/facts asks of this package, until the subjects that it is part of have their own.

// ParseOutage takes anything that is not what it should be for nothing: it is a hint.
func ParseOutage(kept sql.NullString) Outage { return relay.ParseOutage(kept) }

// ParseTopics reads the topics that the hints of a lease keep.
func ParseTopics(kept sql.NullString) map[string]string { return relay.ParseTopics(kept) }

// ReadOldest returns the undelivered event with the lowest id, which statement selects; nil: there is none.
func ReadOldest(ctx context.Context, tx *sql.Tx, statement string) (*OldestEvent, error) {
	var s SourceStatus
	err := s.readOldest(ctx, tx, statement)
	return s.Oldest, err
}

// MayLook reports whether this user has MySQL's right PROCESS.
func MayLook(ctx context.Context, conn *sql.DB, n Names) (bool, error) {
	return relay.MayListWriters(ctx, conn, n)
}
