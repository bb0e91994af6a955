package dialect

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"
)

// UsedTopicsFor is for how long a topic counts as in use after the last event for it.
const UsedTopicsFor = 7 * 24 * time.Hour

// SetUsedTopics keeps in the hints which topics the source has events for: a JSON object
// of the last day (2006-01-02, UTC) by topic.
func (r *Relay) SetUsedTopics(ctx context.Context, l Lease, topics []byte) error {
	return r.setLease(ctx, l, map[Dialect]string{
		PostgreSQL: "hints = jsonb_set(hints, ARRAY['topics'], $1::text::jsonb)",
		MySQL:      "hints = JSON_SET(hints, '$.topics', JSON_EXTRACT(?, '$'))",
		SQLite:     "hints = json_set(hints, '$.topics', json(?))",
	}, string(topics))
}

// UsedTopics returns what SetUsedTopics kept.
func (r *Relay) UsedTopics(ctx context.Context) (map[string]string, error) {
	var kept sql.NullString
	q := r.names.Expand("SELECT " + usedTopics(r.names) + " FROM {outbox_leases} WHERE id = 1")
	if err := r.leaseDB.QueryRowContext(ctx, q).Scan(&kept); err != nil {
		return nil, err
	}
	return parseUsedTopics(kept), nil
}

func usedTopics(n Names) string {
	return map[Dialect]string{
		PostgreSQL: "hints->>'topics'", MySQL: "JSON_EXTRACT(hints, '$.topics')", SQLite: "json_extract(hints, '$.topics')",
	}[n.Dialect]
}

// parseUsedTopics takes anything that is not what it should be for nothing: it is a hint.
func parseUsedTopics(kept sql.NullString) map[string]string {
	var days map[string]string
	if json.Unmarshal([]byte(kept.String), &days) != nil {
		return nil
	}
	return days
}
