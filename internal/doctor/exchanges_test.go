package doctor_test

import (
	"context"
	"errors"
	"testing"

	"github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/doctor"
	"github.com/postroom/postroom/relay/relaywatermill/watermillamqp"
)

// brokenRabbitMQ answers every query with an error.
type brokenRabbitMQ struct{}

func (brokenRabbitMQ) HasExchange(context.Context, string) (bool, error) {
	return false, errors.New("it has just stopped")
}

// onRabbitMQ returns a clinic whose sink is the real RabbitMQ.
func onRabbitMQ(t *testing.T) *clinic {
	t.Helper()
	c := onSQLite(t)
	sink, err := watermillamqp.New(watermillamqp.Config{URL: dbtest.AMQP(t)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sink.Close()) })
	c.source.Sink, c.source.Brokers, c.source.Exchanges, c.source.At = nil, nil, sink, "rabbitmq at amqp://r:5672"
	return c
}

func TestOnARealRabbitMQATopicWithoutAnExchangeIsNamed(t *testing.T) {
	c := onRabbitMQ(t)
	there, waits, configured := dbtest.Queue(t), dbtest.Queue(t), dbtest.Queue(t)+" of ü"
	conn, err := amqp091.Dial(dbtest.AMQP(t))
	require.NoError(t, err)
	defer conn.Close()
	ch, err := conn.Channel()
	require.NoError(t, err)
	require.NoError(t, ch.ExchangeDeclare(there, "fanout", false, false, false, false, nil))
	defer func() { require.NoError(t, ch.ExchangeDelete(there, false, false)) }()
	c.exec("INSERT INTO outbox_events (topic) VALUES ('" + there + "'), ('" + waits + "')")
	c.source.Topics = []string{configured}

	found := c.examine()
	missing := found.all("topics.missing")
	require.Len(t, []doctor.Finding(missing), 2, "%s", found.ids())
	for _, f := range missing {
		switch f.Subject {
		case "topic " + waits:
			requireFinding(t, f, doctor.Problem, "topic "+waits,
				"rabbitmqadmin declare exchange name="+waits+" type=topic durable=true")
			require.Contains(t, f.What, "at least 1 event waits for it")
		default:
			requireFinding(t, f, doctor.Problem, "topic "+configured,
				"rabbitmqadmin declare exchange name='"+configured+"' type=topic durable=true")
		}
	}
	requireFinding(t, found.only(t, "topics.config"), doctor.Note, "exchanges", "rabbitmqctl list_bindings")
	require.Error(t, ch.ExchangeDeclarePassive(waits, "", false, false, false, false, nil), "asking has not made it")
	ch, err = conn.Channel() // the error has closed the channel
	require.NoError(t, err)
}

func TestARabbitMQThatDoesNotAnswerIsUnreachable(t *testing.T) {
	c := onRabbitMQ(t)
	c.source.Exchanges = brokenRabbitMQ{}
	c.insert()
	report := doctor.Examine(t.Context(), c.source, c.opts)
	require.False(t, report.SinkSeen)
	unreachable := findings(report.Findings).only(t, "sink.unreachable")
	require.Equal(t, c.source.At, unreachable.Subject)
	require.Contains(t, unreachable.What, "it has just stopped")
	require.Empty(t, findings(report.Findings).all("topics.missing"))
}
