package dbtest

import (
	"strings"
	"testing"
)

// AMQP returns the URL of the test broker, a RabbitMQ: amqp://user:password@host:port/.
func AMQP(t testing.TB) string {
	t.Helper()
	return env(t, envAMQP)
}

// Queue returns the name of a queue or a topic that no other test has. Who declares a
// queue of that name deletes it, or makes it one that ends with its connection.
func Queue(t testing.TB) string {
	t.Helper()
	return strings.ReplaceAll(freshName(t), "_", "-")
}
