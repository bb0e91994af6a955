package outbox

import (
	"fmt"

	"github.com/postroom/postroom/internal/db"
)

// Option changes a default of New.
type Option func(*config)

type config struct {
	names          db.Names
	limits         limits
	strictKeyOrder bool
}

func (c *config) validate() error {
	if err := c.names.Validate(); err != nil {
		return err
	}
	if c.limits.payload <= 0 || c.limits.payload > MaxPayload {
		return fmt.Errorf(
			"WithMaxPayload(%d): want 1 to %d bytes, which the table allows", c.limits.payload, MaxPayload,
		)
	}
	return nil
}

// WithTablePrefix puts prefix, at most 30 characters of a-z, 0-9 and _, before the
// names of the tables. The relay and the migrations need the same one.
func WithTablePrefix(prefix string) Option { return func(c *config) { c.names.Prefix = prefix } }

// WithSchema names the PostgreSQL schema that holds the tables. Default: the
// first in the connection's search_path that has them.
func WithSchema(schema string) Option { return func(c *config) { c.names.Schema = schema } }

// WithMaxPayload lowers the limit on the size of a payload, in bytes, for example
// to the broker's own (Kafka's default is 1 MiB for a whole batch), so that an event
// which could never be delivered fails in its own transaction. Default: MaxPayload.
//
// On MySQL and MariaDB the server's max_allowed_packet is a limit as well: a whole
// statement has to fit, and a driver that puts values into its text (interpolateParams)
// may need two bytes for one. MariaDB's default of 16M takes payloads of just below 8
// MiB of any content; the full 16 MiB need 64M, which is MySQL 8's default.
func WithMaxPayload(bytes int) Option { return func(c *config) { c.limits.payload = bytes } }

// WithAnyTopic lifts the check of topic names against Kafka's alphabet, for
// brokers that allow more, such as RabbitMQ. The length limit stays.
func WithAnyTopic() Option { return func(c *config) { c.limits.anyTopic = true } }

// StrictKeyOrder makes Add wait for other open transactions that wrote events of
// the same topic and key, and so keeps their order even where the writers of a key
// do not lock the aggregate first. The locks end with the transaction. PostgreSQL
// takes an advisory lock per key, MySQL a row of a small lock table (two keys may
// share a row and then wait for each other), SQLite needs none. It costs one more
// statement, and on MySQL the writer needs SELECT and UPDATE on outbox_key_locks. Every
// writer of the table has to use it.
//
// Two calls of Add in one transaction may take locks in an order that deadlocks
// with another transaction; the database then fails one of them. Add all events of
// a transaction in one call, or be ready to repeat it.
func StrictKeyOrder() Option { return func(c *config) { c.strictKeyOrder = true } }
