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
// names of the tables. The relay and the migrations need the same prefix.
func WithTablePrefix(prefix string) Option { return func(c *config) { c.names.Prefix = prefix } }

// WithSchema names the PostgreSQL schema that holds the tables. Default: the
// first in the connection's search_path that has them.
func WithSchema(schema string) Option { return func(c *config) { c.names.Schema = schema } }

// WithMaxPayload lowers the limit on the size of a payload, in bytes. With the broker's
// own limit (Kafka's default is 1 MiB for a whole batch), an event that could never be
// delivered fails in its own transaction. Default: MaxPayload.
//
// On MySQL and MariaDB the server's max_allowed_packet is a limit too. A whole statement
// has to fit. A driver that puts values into the text (interpolateParams) may need two
// bytes for one. MariaDB's default of 16M is enough for payloads of just below 8 MiB
// with any content. The full 16 MiB need 64M, which is MySQL 8's default.
func WithMaxPayload(bytes int) Option { return func(c *config) { c.limits.payload = bytes } }

// WithAnyTopic switches off the check that Kafka allows a topic's name, for brokers that
// allow more names, such as RabbitMQ. The limit of the length stays.
func WithAnyTopic() Option { return func(c *config) { c.limits.anyTopic = true } }

// StrictKeyOrder makes Add wait for other open transactions that wrote events of the
// same topic and key. So the order of a key is kept even if its writers do not lock the
// aggregate first. Every writer of the table has to use it. The locks end with the
// transaction: an advisory lock for each key on PostgreSQL, a row of a small lock table
// on MySQL, none on SQLite. On MySQL two keys may share a row, and then wait for each
// other. StrictKeyOrder costs one more statement, and on MySQL the writer needs SELECT
// and UPDATE on outbox_key_locks.
//
// Two calls of Add in one transaction can deadlock with another transaction. The
// database then fails one of them. Add all events of a transaction in one call, or be
// ready to repeat the transaction.
func StrictKeyOrder() Option { return func(c *config) { c.strictKeyOrder = true } }
