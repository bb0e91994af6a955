package dialect

import "fmt"

// Queue has the statements that take events out of outbox_events one at a time, for
// consumers that stand in for the relay. Safe for concurrent use.
type Queue struct{ next, remove string }

// NewQueue returns the statements for n, which must be valid and no SQLite, which
// has no row locks.
func NewQueue(n Names) (*Queue, error) {
	if err := n.Validate(); err != nil {
		return nil, err
	}
	switch n.Dialect {
	case PostgreSQL:
		return &Queue{next: n.Expand(nextPostgres), remove: n.Expand(removeNextPostgres)}, nil
	case MySQL:
		return &Queue{next: n.Expand(nextMySQL), remove: n.Expand(removeNextMySQL)}, nil
	}
	return nil, fmt.Errorf("dialect %q has no row locks, and so no queue", n.Dialect)
}

// Next selects the oldest event of a topic (its one parameter) and locks it until
// the transaction ends: id, event_id, topic, event_key, event_type, payload, headers,
// created_at in RFC 3339. Another reader of the topic waits for it; with SKIP LOCKED it
// would overtake.
func (q *Queue) Next() string { return q.next }

// Remove deletes the event with the given id and event_id.
func (q *Queue) Remove() string { return q.remove }

const (
	// The lock is above the limit in the plan: when the row that it waited for was
	// deleted meanwhile, it goes on to the one after.
	nextPostgres = `SELECT id, event_id::text, topic, event_key, event_type, payload, headers::text,
	to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
FROM {outbox_events} WHERE topic = $1 ORDER BY id LIMIT 1 FOR UPDATE`
	removeNextPostgres = `DELETE FROM {outbox_events} WHERE id = $1 AND event_id = $2::text::uuid`

	// A locking read stops at every locked row that it passes, of whatever topic:
	// at those of writers that have not committed, and at those of other topics'
	// readers. So the search reads without locks, and only its result is locked;
	// when that was deleted meanwhile, the answer is empty and the caller asks again.
	nextMySQL = `SELECT id, event_id, topic, event_key, event_type, payload, headers,
	DATE_FORMAT(created_at, '%Y-%m-%dT%H:%i:%s.%fZ')
FROM {outbox_events} WHERE id = (SELECT oldest FROM (SELECT MIN(id) AS oldest FROM {outbox_events} WHERE topic = ?) AS found) FOR UPDATE`
	removeNextMySQL = `DELETE FROM {outbox_events} WHERE id = ? AND event_id = ?`
)
