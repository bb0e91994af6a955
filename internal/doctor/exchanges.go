package doctor

import (
	"context"
	"fmt"

	"github.com/postroom/postroom/internal/ops"
)

// Exchanges reads what the checks need from RabbitMQ. Safe for concurrent use.
type Exchanges interface {
	// HasExchange reports whether an exchange exists.
	HasExchange(ctx context.Context, name string) (bool, error)
}

// askExchanges asks RabbitMQ for the exchanges of the used and the configured topics.
func (f *Facts) askExchanges(ctx context.Context) {
	missing := map[string]bool{}
	for _, name := range f.topicNames() {
		exists, err := bounded(ctx, f, func(ctx context.Context) (bool, error) {
			return f.Exchanges.HasExchange(ctx, name)
		})
		if err != nil {
			f.SinkErr = err
			return
		}
		missing[name] = !exists
	}
	f.MissingExchanges = missing
}

// exchanges finds topics that have no exchange in RabbitMQ.
func exchanges(f *Facts, found *findings) {
	for _, name := range f.topicNames() {
		if f.MissingExchanges[name] && f.needed(name) {
			what := "RabbitMQ has no exchange of this name"
			if use := f.use(name); use.Waiting > 0 {
				what += fmt.Sprintf(", and at least %s %s for it", counted(use.Waiting, "event"),
					verb(use.Waiting, "waits", "wait"))
			}
			found.add(Problem, "topics.missing", "topic "+name, what,
				"its events are rejected and parked. Start a consumer that declares the exchange and binds a queue, "+
					"or declare them yourself, then retry the events",
				"rabbitmqadmin declare exchange name="+ops.ShellWord(name)+" type=topic durable=true",
				f.relay("parked list"))
		}
	}
	if f.MissingExchanges != nil {
		found.add(Note, "topics.config", "exchanges",
			"AMQP does not tell whether exchanges and queues are durable, and which queues are bound",
			"without a queue the events of an exchange are rejected and parked. A queue that is not durable loses its "+
				"events when the broker restarts",
			"rabbitmqctl list_exchanges name type durable arguments", "rabbitmqctl list_bindings",
			"rabbitmqctl list_queues name type durable arguments")
	}
}
