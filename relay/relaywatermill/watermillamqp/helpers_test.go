package watermillamqp

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	amqp091 "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaytest"
)

const patience = 30 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// far is the broker's side of a test: exchanges with a queue each. It is read without the sink.
type far struct {
	ch *amqp091.Channel

	mu  sync.Mutex
	got map[string][]amqp091.Delivery
}

func newFar(t testing.TB) *far {
	t.Helper()
	conn, err := amqp091.Dial(dbtest.AMQP(t))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	ch, err := conn.Channel()
	require.NoError(t, err)
	return &far{ch: ch, got: make(map[string][]amqp091.Delivery)}
}

// exchange declares an exchange and a queue of the same name. It binds the queue by a key, or by "" to a
// fanout.
func (f *far) exchange(t testing.TB, kind, key string, queue amqp091.Table) string {
	t.Helper()
	name := dbtest.Queue(t)
	require.NoError(t, f.ch.ExchangeDeclare(name, kind, true, false, false, false, nil))
	_, err := f.ch.QueueDeclare(name, true, false, false, false, queue)
	require.NoError(t, err)
	f.bind(t, name, key)
	t.Cleanup(func() {
		_, err := f.ch.QueueDelete(name, false, false, false)
		require.NoError(t, errors.Join(err, f.ch.ExchangeDelete(name, false, false)))
	})
	return name
}

func (f *far) fanout(t testing.TB) string { return f.exchange(t, "fanout", "", nil) }

func (f *far) bind(t testing.TB, name, key string) {
	t.Helper()
	require.NoError(t, f.ch.QueueBind(name, key, name, false, nil))
}

// arrived returns the messages that a queue has received since the test began.
func (f *far) arrived(t testing.TB, name string) []amqp091.Delivery {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		d, ok, err := f.ch.Get(name, true)
		require.NoError(t, err)
		if !ok {
			return f.got[name]
		}
		f.got[name] = append(f.got[name], d)
	}
}

// published converts the messages of a queue for relaytest. AMQP has no order of headers, and cannot
// distinguish a missing key.
func (f *far) published(t testing.TB, name string) []relaytest.Message {
	var messages []relaytest.Message
	for _, d := range f.arrived(t, name) {
		m := relaytest.Message{Value: d.Body}
		if d.RoutingKey != "" {
			m.Key = []byte(d.RoutingKey)
		}
		for name, value := range d.Headers {
			m.Headers = append(m.Headers, relay.Header{Name: name, Value: value.(string)})
		}
		slices.SortFunc(m.Headers, func(a, b relay.Header) int { return strings.Compare(a.Name, b.Name) })
		messages = append(messages, m)
	}
	return messages
}

func newSink(t testing.TB, cfg Config) *Sink {
	t.Helper()
	sink, err := New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sink.Close()) })
	return sink
}

func record(id int64, topic, key string, payload []byte) *relay.Record {
	r := &relay.Record{ID: id, EventID: uuid.New(), Topic: topic, Type: "t", Payload: payload, CreatedAt: time.Now()}
	if key != "" {
		r.Key = []byte(key)
	}
	return r
}

// deliver delivers the records in one session, and returns their answers in the same order.
func deliver(t testing.TB, sink relay.Sink, records ...*relay.Record) []error {
	t.Helper()
	type answer struct {
		record *relay.Record
		err    error
	}
	answers := make(chan answer, len(records))
	session, err := sink.Open(t.Context(), func(r *relay.Record, err error) { answers <- answer{r, err} })
	require.NoError(t, err)
	session.Deliver(t.Context(), records)
	got := make(map[*relay.Record]error)
	for range records {
		a := <-answers
		got[a.record] = a.err
	}
	session.Close()
	var list []error
	for _, r := range records {
		list = append(list, got[r])
	}
	return list
}

// send publishes a message as a lane does.
func send(ctx context.Context, sink *Sink, topic, key string) (id string, err error) {
	out := &outgoing{exchange: topic, key: key, Publishing: amqp091.Publishing{MessageId: uuid.NewString()}}
	return out.MessageId, sink.publisher.publish(ctx, out)
}

func rejected(err error) bool { return errors.Is(err, errRejected) }

func isRejection(err error) bool { return errors.Is(err, relay.ErrRejected) }
