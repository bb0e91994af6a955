package relays_test

import (
	"database/sql"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/examples/shop/kit/kittest"
	"github.com/postroom/postroom/examples/shop/relays"
	"github.com/postroom/postroom/outbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Four databases of three kinds, one process.
func TestOneProcessRelaysAllSources(t *testing.T) {
	kafka, mails := kittest.Kafka(t), kit.Mails{InProcess: kit.NewMailChannel()}
	t.Cleanup(func() { require.NoError(t, mails.InProcess.Close()) })
	sources := []relays.Source{
		{Name: "customers", URL: kittest.SQLite(t)},
		{Name: "stock", URL: kittest.MariaDB(t)},
		{Name: "orders-1", URL: kittest.PostgreSQL(t), Mails: true},
		{Name: "orders-2", URL: kittest.SQLite(t), Mails: true},
	}
	s, err := relays.New(t.Context(), relays.Config{
		Sources: sources, Kafka: kafka, Mails: mails, Logger: kittest.Quiet(),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	kittest.Run(t, s.Run)
	mail, err := mails.InProcess.Subscribe(t.Context(), kafka.Topic(events.Mails))
	require.NoError(t, err)

	mailed := map[string]bool{}
	for _, source := range sources {
		db := kittest.Open(t, source.URL)
		add(t, db, kafka, events.Orders, source.Name)
		if source.Mails {
			add(t, db, kafka, events.Mails, source.Name, outbox.WithTablePrefix(relays.MailPrefix))
			m := <-mail
			mailed[string(m.Payload)] = true
			m.Ack()
		}
	}
	require.Equal(t, map[string]bool{`"orders-1"`: true, `"orders-2"`: true}, mailed)
	var from []string
	for _, e := range kittest.Events(t, kafka, events.Orders, len(sources)) {
		from = append(from, e.Key)
	}
	require.ElementsMatch(t, []string{"customers", "stock", "orders-1", "orders-2"}, from)
}

func add(t *testing.T, db *kit.DB, kafka kit.Kafka, topic, source string, options ...outbox.Option) {
	t.Helper()
	ob, err := outbox.New(db.Dialect, options...)
	require.NoError(t, err)
	event, err := kafka.Event(topic, source, "test", source)
	require.NoError(t, err)
	require.NoError(t, db.Tx(t.Context(), func(tx *sql.Tx) error { return ob.Add(t.Context(), tx, event) }))
}

func TestParseSources(t *testing.T) {
	sources, err := relays.ParseSources("stock=sqlite:stock.db  orders-1+mails=postgres://u:p@h/d?a=b")
	require.NoError(t, err)
	require.Equal(t, []relays.Source{
		{Name: "stock", URL: "sqlite:stock.db"},
		{Name: "orders-1", URL: "postgres://u:p@h/d?a=b", Mails: true},
	}, sources)
	_, err = relays.ParseSources("postgres://user:secret@host/db")
	require.ErrorContains(t, err, "want NAME=URL")
	require.NotContains(t, err.Error(), "secret")
}
