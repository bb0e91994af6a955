package shards

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/examples/shop/kit/kittest"
	"github.com/postroom/postroom/examples/shop/orders/eventstore"
	"github.com/postroom/postroom/examples/shop/orders/saga"
	"github.com/postroom/postroom/inbox/inboxkafka"
	"github.com/postroom/postroom/migrations"
	"github.com/postroom/postroom/outbox"
	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaykafka"
)

// newShard makes a shard with the tables that a move knows of.
func newShard(t *testing.T, name, url string) Shard {
	t.Helper()
	db := kittest.Open(t, url)
	require.NoError(t, db.Exec(t.Context(), eventstore.Tables...))
	require.NoError(t, db.Exec(t.Context(), saga.Tables...))
	require.NoError(t, db.Exec(t.Context(), Tables...))
	require.NoError(t, db.Exec(t.Context(), "CREATE TABLE customers (id VARCHAR(36) PRIMARY KEY)"))
	_, err := migrations.Apply(t.Context(), db.SQL, db.Dialect, migrations.Options{
		Prefix: "mail_", Only: migrations.OutboxOnly,
	})
	require.NoError(t, err)
	return Shard{Name: name, DB: db}
}

// eachCluster runs fn with a cluster of four shards that is about to get a fifth: SQLite alone, and PostgreSQL and
// MariaDB mixed, so that rows go from one kind of database to the other.
func eachCluster(t *testing.T, fn func(t *testing.T, c *Cluster)) {
	t.Helper()
	for name, urls := range map[string][5]func(testing.TB) string{
		"sqlite": {kittest.SQLite, kittest.SQLite, kittest.SQLite, kittest.SQLite, kittest.SQLite},
		"postgresql and mariadb": {
			kittest.PostgreSQL, kittest.MariaDB, kittest.PostgreSQL, kittest.MariaDB, kittest.PostgreSQL,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &Cluster{}
			for i, url := range urls {
				c = c.Grown(newShard(t, fmt.Sprintf("orders-%d", i), url(t)))
			}
			fn(t, c)
		})
	}
}

// appendTo adds one event to a stream, as the service does.
func appendTo(ctx context.Context, s Shard, customer, stream string, n int64, who Who, atRest bool) error {
	ob, err := outbox.New(s.DB.Dialect)
	if err != nil {
		return err
	}
	return s.DB.Tx(ctx, func(tx *sql.Tx) error {
		if err := Enter(ctx, s.DB, tx, customer, who); err != nil {
			return err
		}
		return eventstore.New(s.DB, ob, "orders").Append(ctx, tx, eventstore.Change{
			Stream: stream, Customer: customer, Expected: n - 1, AtRest: atRest,
			Events: []eventstore.Event{{Type: "counted", Body: fmt.Appendf(nil, `{"n":%d}`, n)}},
		})
	})
}

func write(ctx context.Context, c *Cluster, customer, stream string, n int64, who Who, atRest bool) error {
	for {
		home, err := c.Home(ctx, customer)
		if err == nil {
			err = appendTo(ctx, home, customer, stream, n, who, atRest)
		}
		if !errors.Is(err, ErrMoved) {
			return err
		}
	}
}

// writer writes to one order of a customer.
type writer struct {
	customer string
	began    chan struct{} // closed after the first events
	refused  int           // requests, because the customer moves: what a client gets as 503
	written  int64         // events
}

// run writes until stop is closed, and then some more. Like a saga, each odd event begins what the next one ends.
func (w *writer) run(ctx context.Context, c *Cluster, stop <-chan struct{}) error {
	pace := time.NewTicker(20 * time.Millisecond) // SQLite is not fair: at full load a transaction can wait for ever
	defer pace.Stop()
	defer func() {
		if w.written == 0 { // an error: nobody may wait for ever
			close(w.began)
		}
	}()
	for more := 5; more > 0; <-pace.C {
		select {
		case <-stop:
			more--
		default:
		}
		order := "order-of-" + w.customer
		err := write(ctx, c, w.customer, order, w.written+1, Request, false)
		if errors.Is(err, ErrDraining) {
			w.refused++
			continue
		}
		if err == nil {
			err = write(ctx, c, w.customer, order, w.written+2, Message, true)
		}
		if err != nil {
			return err
		}
		if w.written += 2; w.written == 2 {
			close(w.began)
		}
	}
	return nil
}

// someWriters returns writers for three customers who move and for three who stay.
func someWriters(c *Cluster) (writers []*writer) {
	moving := 0
	for i := 0; len(writers) < 6; i++ {
		moves := Owner(c.All, customer(i)).Name != Owner(c.All[:c.Old], customer(i)).Name
		if moves && moving < 3 || !moves && len(writers)-moving < 3 {
			writers = append(writers, &writer{customer: customer(i), began: make(chan struct{})})
			if moves {
				moving++
			}
		}
	}
	return writers
}

func runRelay(ctx context.Context, s Shard, kafka kit.Kafka) error {
	sink, err := relaykafka.New(relaykafka.Config{Brokers: kafka.Brokers})
	if err != nil {
		return err
	}
	r, err := relay.New(relay.Config{
		DB: s.DB.SQL, Dialect: s.DB.Dialect, Sink: sink, Source: s.Name,
		LeaseTTL: 30 * time.Second, // in SQLite the relay waits for the writers
	})
	if err != nil {
		return err
	}
	return r.Run(ctx)
}

func TestCustomersMoveToAFifthShardWhileTheirOrdersAreWritten(t *testing.T) {
	eachCluster(t, func(t *testing.T, c *Cluster) {
		kafka := kit.Kafka{Brokers: kittest.Kafka(t).Brokers}
		require.NoError(t, kafka.CreateTopics(t.Context(), "orders"))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var background, writing sync.WaitGroup
		for _, s := range c.All {
			background.Go(func() {
				if err := runRelay(ctx, s, kafka); err != nil {
					t.Errorf("relay of %s: %v", s.Name, err)
				}
			})
		}
		defer background.Wait()
		defer cancel()

		before := New(c.All[:4]...) // how customers are spread until the fifth shard is announced
		writers := someWriters(c)
		stop := make(chan struct{})
		for _, w := range writers {
			require.NoError(t, write(ctx, before, w.customer, "first-order-of-"+w.customer, 1, Request, true))
			writing.Go(func() {
				if err := w.run(ctx, c, stop); err != nil {
					t.Errorf("%s: %v", w.customer, err)
				}
			})
		}
		for _, w := range writers {
			<-w.began
		}
		moves, err := c.MoveAll(ctx)
		close(stop)
		writing.Wait()
		require.NoError(t, err)
		require.Equal(t, Moves{Moved: len(writers) / 2, Stayed: []Stayed{}}, moves)

		settled, total, refused := c.Settled(), 0, 0
		for _, w := range writers {
			require.NoError(t, write(ctx, settled, w.customer, "last-order-of-"+w.customer, 1, Request, true))
			require.Equal(t, w.written, requireInOrder(t, settled, w.customer))
			total += int(w.written) + 2
			refused += w.refused
		}
		t.Logf("%d of %d customers moved while %d events were written; %d requests were refused meanwhile",
			moves.Moved, len(writers), total, refused)
		requireOwnOnly(t, settled)
		requireDeliveredInOrder(t, kafka, total)
	})
}

// requireInOrder finds each event of the customer's main order in its home, once, and returns how many there are.
func requireInOrder(t *testing.T, c *Cluster, customer string) int64 {
	t.Helper()
	home, err := c.Home(t.Context(), customer)
	require.NoError(t, err)
	rows, err := home.DB.SQL.QueryContext(t.Context(), home.DB.Bind(
		"SELECT version, body FROM order_events WHERE stream = ? ORDER BY version"), "order-of-"+customer)
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	n := int64(0)
	for rows.Next() {
		n++
		var version int64
		var body string
		require.NoError(t, rows.Scan(&version, &body))
		require.Equal(t, n, version)
		require.JSONEq(t, fmt.Sprintf(`{"n":%d}`, n), body)
	}
	require.NoError(t, rows.Err())
	return n
}

func requireOwnOnly(t *testing.T, c *Cluster) {
	t.Helper()
	for _, s := range c.All {
		rows, err := s.DB.SQL.QueryContext(t.Context(), "SELECT customer FROM order_streams")
		require.NoError(t, err)
		for rows.Next() {
			var customer string
			require.NoError(t, rows.Scan(&customer))
			require.Equal(t, Owner(c.All, customer).Name, s.Name)
		}
		require.NoError(t, errors.Join(rows.Err(), rows.Close()))
		var strays int
		require.NoError(t, s.DB.SQL.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM order_events "+
			"WHERE stream NOT IN (SELECT stream FROM order_streams)").Scan(&strays))
		require.Zero(t, strays)
	}
}

// requireDeliveredInOrder reads the topic: all events are there, and those of an order are in order, although the
// events of a customer who moved came from two outboxes. A copy has the id of the first and is dropped, as in an inbox.
func requireDeliveredInOrder(t *testing.T, kafka kit.Kafka, total int) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(kafka.Brokers...), kgo.ConsumeTopics("orders"))
	require.NoError(t, err)
	defer client.Close()
	last, seen := map[string]int64{}, map[string]bool{}
	for len(seen) < total {
		fetches := client.PollFetches(t.Context())
		require.NoError(t, fetches.Err())
		for _, r := range fetches.Records() {
			m, err := inboxkafka.Decode(r)
			require.NoError(t, err)
			if seen[m.ID] {
				continue
			}
			seen[m.ID] = true
			var body struct{ N int64 }
			require.NoError(t, json.Unmarshal(r.Value, &body))
			require.Equal(t, last[string(r.Key)]+1, body.N, "order %s", r.Key)
			last[string(r.Key)] = body.N
		}
	}
}

// mover returns a customer who lives in an old shard and belongs into the fifth.
func mover(t *testing.T, c *Cluster) (name string, from, to Shard) {
	t.Helper()
	for i := range customers {
		name = customer(i)
		from, to = Owner(c.All[:c.Old], name), Owner(c.All, name)
		if from.Name != to.Name {
			require.NoError(t, write(t.Context(), New(c.All[:c.Old]...), name, "order-of-"+name, 1, Request, true))
			return name, from, to
		}
	}
	t.Fatal("nobody moves")
	return "", Shard{}, Shard{}
}

// emptyOutbox stands for the relay.
func emptyOutbox(t *testing.T, s Shard) {
	t.Helper()
	_, err := s.DB.SQL.ExecContext(t.Context(), "DELETE FROM outbox_events")
	require.NoError(t, err)
}

func TestACustomerMovesWhenNothingIsUnderWay(t *testing.T) {
	eachCluster(t, func(t *testing.T, c *Cluster) {
		ctx := t.Context()
		name, from, to := mover(t, c)
		_, err := from.DB.SQL.ExecContext(ctx, from.DB.Bind(
			"UPDATE "+table+" SET state = ? WHERE customer = ?"), draining, name)
		require.NoError(t, err)
		var busy busyError
		require.ErrorAs(t, goOver(ctx, name, from.DB, to.DB), &busy)
		require.Contains(t, busy.Error(), "events wait in the outbox")

		require.ErrorIs(t, write(ctx, c, name, "order-of-"+name, 2, Request, true), ErrDraining)
		require.NoError(t, write(ctx, c, name, "order-of-"+name, 2, Message, false), "what is under way goes on")
		emptyOutbox(t, from)
		require.ErrorAs(t, goOver(ctx, name, from.DB, to.DB), &busy)
		require.Contains(t, busy.Error(), "an order has not ended")

		require.NoError(t, write(ctx, c, name, "order-of-"+name, 3, Message, true))
		emptyOutbox(t, from)
		require.NoError(t, goOver(ctx, name, from.DB, to.DB))
		require.NoError(t, goOver(ctx, name, from.DB, to.DB), "a second mover changes nothing")
		require.ErrorIs(t, appendTo(ctx, from, name, "order-of-"+name, 4, Message, true), ErrMoved)
		require.NoError(t, write(ctx, c, name, "order-of-"+name, 4, Request, true))
		require.EqualValues(t, 4, requireInOrder(t, c.Settled(), name))
	})
}

// The process dies when the new shard has committed and the old one has not.
func TestAMoveThatWasCutOffBeginsAgain(t *testing.T) {
	eachCluster(t, func(t *testing.T, c *Cluster) {
		ctx := t.Context()
		name, from, to := mover(t, c)
		emptyOutbox(t, from)
		errKilled := errors.New("killed")
		require.ErrorIs(t, from.DB.Tx(ctx, func(out *sql.Tx) error {
			require.NoError(t, to.DB.Tx(ctx, func(in *sql.Tx) error {
				return copyAll(ctx, name, from.DB, out, to.DB, in)
			}))
			return errKilled
		}), errKilled)
		require.NoError(t, write(ctx, c, name, "order-of-"+name, 2, Request, true), "the old shard still has it")
		emptyOutbox(t, from)
		moves, err := c.MoveAll(ctx)
		require.NoError(t, err)
		require.Equal(t, Moves{Moved: 1, Stayed: []Stayed{}}, moves)
		require.EqualValues(t, 2, requireInOrder(t, c.Settled(), name))
		requireOwnOnly(t, c.Settled())
	})
}

// The naive way copies first and switches then, and nothing stops the writers.
func TestWithoutTheFreezeWhatIsWrittenBetweenCopyAndSwitchIsLost(t *testing.T) {
	eachCluster(t, func(t *testing.T, c *Cluster) {
		ctx := t.Context()
		name, from, to := mover(t, c)
		copied := func() error {
			return from.DB.Tx(ctx, func(out *sql.Tx) error {
				return to.DB.Tx(ctx, func(in *sql.Tx) error {
					return copyAll(ctx, name, from.DB, out, to.DB, in)
				})
			})
		}
		require.NoError(t, copied())
		require.NoError(t, write(ctx, New(c.All[:4]...), name, "order-of-"+name, 2, Request, true))
		_, err := from.DB.SQL.ExecContext(ctx, from.DB.Bind(
			"UPDATE "+table+" SET state = ? WHERE customer = ?"), moved, name)
		require.NoError(t, err) // switched
		require.EqualValues(t, 1, requireInOrder(t, c.Settled(), name), "version 2 was acknowledged, and is lost")

		// And two events of the order wait in two outboxes, so that the second may arrive first.
		require.NoError(t, write(ctx, c, name, "order-of-"+name, 2, Request, true), "version 2 is written twice")
		for _, s := range []Shard{from, to} {
			var waiting int
			require.NoError(t, s.DB.SQL.QueryRowContext(ctx, "SELECT COUNT(*) FROM outbox_events").Scan(&waiting))
			require.Positive(t, waiting)
		}
	})
}
