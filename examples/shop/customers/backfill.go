package customers

import (
	"context"
	"fmt"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/outbox"
	"github.com/postroom/postroom/outbox/backfill"
)

// payload is events.Customer, written by the database.
var payload = map[outbox.Dialect]string{
	outbox.PostgreSQL: `convert_to(
		json_build_object('id', id, 'name', name, 'email', email, 'version', version)::text, 'UTF8')`,
	outbox.MySQL:  "JSON_OBJECT('id', id, 'name', name, 'email', email, 'version', version)",
	outbox.SQLite: "json_object('id', id, 'name', name, 'email', email, 'version', version)",
}

// Backfill sends all customers through the outbox, for a consumer that starts when the topic has no longer all of
// them. It returns how many were sent. Changes go on meanwhile: a row that is sent late has an old version, and a copy
// ignores it. If Backfill is interrupted, the next call goes on where this one stopped.
func (s *Service) Backfill(ctx context.Context) (sent int64, err error) {
	progress, err := backfill.Run(ctx, s.db.SQL, s.db.Dialect, backfill.Config{
		Name:     "customers",
		Position: "id",
		Query: fmt.Sprintf(`SELECT id, '%s' AS topic, id AS event_key, '%s' AS event_type, %s AS payload
			FROM customers WHERE erased_at IS NULL`,
			s.kafka.Topic(events.Customers), events.CustomerChanged, payload[s.db.Dialect]),
	})
	return progress.Sent, err
}
