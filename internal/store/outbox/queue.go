package outbox

import (
	"fmt"

	"github.com/postroom/postroom/internal/db"
)

// Queue has the statements that take events out of outbox_events one at a time, for
// consumers that stand in for the relay. Safe for concurrent use.
type Queue struct{ sql lockStatements }

// NewQueue returns the statements for n, which must be valid and no SQLite, which
// has no row locks.
func NewQueue(n db.Names) (*Queue, error) {
	_, locks, err := load(n)
	if err == nil && locks.NextEvent == "" {
		err = fmt.Errorf("dialect %q has no row locks, and so no queue", n.Dialect)
	}
	return &Queue{sql: locks}, err
}

// Next selects the oldest event of a topic (its one parameter) and locks it until
// the transaction ends: id, event_id, topic, event_key, event_type, payload, headers,
// created_at in RFC 3339. Another reader of the topic waits for the lock. With SKIP
// LOCKED it would deliver a later event first.
func (q *Queue) Next() string { return q.sql.NextEvent }

// Remove deletes the event with the given id and event_id.
func (q *Queue) Remove() string { return q.sql.TakenEvent }
