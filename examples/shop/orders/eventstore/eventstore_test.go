package eventstore_test

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/examples/shop/kit/kittest"
	"github.com/postroom/postroom/examples/shop/orders/eventstore"
	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/outbox"
	"github.com/postroom/postroom/outbox/outboxtest"
)

const crashEnv = "SHOP_TEST_CRASH" // which crash this process is to have

func TestMain(m *testing.M) {
	if kind := os.Getenv(crashEnv); kind != "" {
		if err := appendAndHang(kind, os.Getenv("SHOP_TEST_DATABASE")); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	goleak.VerifyTestMain(m)
}

type bench struct {
	*kit.DB
	url   string
	ob    *outbox.Outbox
	store *eventstore.Store
}

func each(t *testing.T, fn func(t *testing.T, b bench)) {
	t.Helper()
	for name, fresh := range map[string]func(testing.TB) string{
		"sqlite": kittest.SQLite, "postgresql": kittest.PostgreSQL, "mariadb": kittest.MariaDB,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := bench{url: fresh(t)}
			b.DB = kittest.Open(t, b.url)
			var err error
			b.ob, err = outbox.New(b.Dialect)
			require.NoError(t, err)
			b.store = eventstore.New(b.DB, b.ob, "orders")
			for range 2 { // as at every start of the service
				require.NoError(t, b.Exec(t.Context(), eventstore.Tables...))
			}
			fn(t, b)
		})
	}
}

// counter is a state that shows which events were applied, how often and in which order.
type counter struct {
	Sum  int    `json:"sum"`
	Last string `json:"last"`
	Text string `json:"text"`
}

func apply(c counter, e eventstore.Event) (counter, error) {
	var body struct {
		Add int `json:"add"`
	}
	if err := json.Unmarshal(e.Body, &body); err != nil {
		return c, err
	}
	c.Sum, c.Last, c.Text = c.Sum*3+body.Add, e.Type, c.Text+fmt.Sprint(body.Add)+"é;"
	return c, nil
}

func added(n int) eventstore.Event {
	return eventstore.Event{Type: "added", Body: fmt.Appendf(nil, `{"add":%d}`, n)}
}

func (b bench) append(ctx context.Context, c eventstore.Change, then ...func(tx *sql.Tx) error) error {
	return b.Tx(ctx, func(tx *sql.Tx) error {
		err := b.store.Append(ctx, tx, c)
		for _, f := range then {
			err = errors.Join(err, f(tx))
		}
		return err
	})
}

func TestWhatIsAppendedIsPublishedWithItsCause(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		require.NoError(t, b.append(t.Context(), eventstore.Change{
			Stream: "o1", Customer: "c1", Events: []eventstore.Event{added(1), added(2)},
		}))
		require.NoError(t, b.append(t.Context(), eventstore.Change{
			Stream: "o1", Expected: 2, Events: []eventstore.Event{added(3)}, Cause: inbox.Message{ID: "m1"},
		}))
		stored, err := b.store.Events(t.Context(), b.SQL, "o1", 0)
		require.NoError(t, err)
		require.Equal(t, []eventstore.Event{added(1), added(2), added(3)}, stored)
		event := outbox.Event{Topic: "orders", Key: "o1", Type: "added"}
		first, second, third := event, event, event
		first.Payload, second.Payload, third.Payload = added(1).Body, added(2).Body, added(3).Body
		third.Headers = map[string]string{inbox.HeaderCausationID: "m1", inbox.HeaderCorrelationID: "m1"}
		outboxtest.RequireEvents(t, b.SQL, b.ob, first, second, third)
	})
}

func TestOfWritersThatDecidedByTheSameVersionOneWins(t *testing.T) {
	const writers = 8
	each(t, func(t *testing.T, b bench) {
		for expected := range int64(3) { // 0: they race to create the stream
			var wg sync.WaitGroup
			results := make([]error, writers)
			for i := range writers {
				wg.Go(func() {
					results[i] = b.append(t.Context(), eventstore.Change{
						Stream: "o1", Customer: "c1", Expected: expected, Events: []eventstore.Event{added(i)},
					})
				})
			}
			wg.Wait()
			won := 0
			for _, err := range results {
				var conflict *eventstore.ConflictError
				if err == nil {
					won++
				} else {
					require.ErrorAs(t, err, &conflict)
					require.Equal(t,
						eventstore.ConflictError{Stream: "o1", Expected: expected, Current: expected + 1}, *conflict)
				}
			}
			require.Equal(t, 1, won)
		}
		require.Len(t, outboxtest.Events(t, b.SQL, b.ob), 3, "losers publish nothing")
	})
}

func TestAWriterThatExpectsTooMuchHasAConflictToo(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		err := b.append(t.Context(), eventstore.Change{
			Stream: "none", Expected: 7, Events: []eventstore.Event{added(1)},
		})
		require.EqualError(t, err, "order none is at version 0, not at 7")
	})
}

// Without the expected version, each writer counts for itself what comes next. Then one that decided by an old state is
// stored behind what it had not seen: here ten goods are sold twice.
func TestWithoutTheExpectedVersionADecisionIsStoredThatNobodyWouldHaveMade(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		ctx := t.Context()
		require.NoError(t, b.append(ctx, eventstore.Change{Stream: "o1", Events: []eventstore.Event{added(10)}}))
		sellAll := func(expected func(seen int64) int64) error {
			const seen = 1 // both have loaded the stream at version 1, and found 10
			return b.append(ctx, eventstore.Change{
				Stream: "o1", Expected: expected(seen), Events: []eventstore.Event{added(-10)},
			})
		}
		naive := func(int64) int64 {
			current, err := b.store.Version(ctx, b.SQL, "o1")
			require.NoError(t, err)
			return current
		}
		rule := func(seen int64) int64 { return seen }

		require.NoError(t, sellAll(rule))
		var conflict *eventstore.ConflictError
		require.ErrorAs(t, sellAll(rule), &conflict)
		require.NoError(t, sellAll(naive), "the naive way sells what is gone")
	})
}

func TestTheStateIsTheSameByteForByteWithAndWithoutASnapshot(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		ctx := t.Context()
		live := counter{}
		for i := range 25 {
			var err error
			live, err = apply(live, added(i))
			require.NoError(t, err)
			version := int64(i) + 1
			require.NoError(t, b.append(ctx, eventstore.Change{
				Stream: "o1", Customer: "c1", Expected: int64(i), Events: []eventstore.Event{added(i)},
			}, func(tx *sql.Tx) error {
				if version%10 != 0 {
					return nil
				}
				return b.store.Snapshot(ctx, tx, "o1", version, live)
			}))
		}
		want, err := json.Marshal(live)
		require.NoError(t, err)
		rebuild := func() string {
			state, version, err := eventstore.Rebuild(ctx, b.store, b.SQL, "o1", apply)
			require.NoError(t, err)
			require.EqualValues(t, 25, version)
			body, err := json.Marshal(state)
			require.NoError(t, err)
			return string(body)
		}
		require.Equal(t, string(want), rebuild(), "with the snapshot of version 20")

		_, err = b.SQL.ExecContext(ctx, "DELETE FROM order_events WHERE version <= 20")
		require.NoError(t, err)
		require.Equal(t, string(want), rebuild(), "the snapshot was used: what is below it is not read")

		_, err = b.SQL.ExecContext(ctx, "DELETE FROM order_snapshots")
		require.NoError(t, err)
		require.NotEqual(t, string(want), mustRebuild(t, b), "without both the state is another one")
	})
}

func TestWithoutASnapshotAllEventsAreApplied(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		require.NoError(t, b.append(t.Context(), eventstore.Change{
			Stream: "o1", Events: []eventstore.Event{added(1), added(2), added(3)},
		}, func(tx *sql.Tx) error {
			return b.store.Snapshot(t.Context(), tx, "o1", 3, counter{Sum: 18, Last: "added", Text: "1é;2é;3é;"})
		}))
		with := mustRebuild(t, b)
		_, err := b.SQL.ExecContext(t.Context(), "DELETE FROM order_snapshots")
		require.NoError(t, err)
		require.Equal(t, with, mustRebuild(t, b))
		require.JSONEq(t, `{"sum":18,"last":"added","text":"1é;2é;3é;"}`, with)
	})
}

func mustRebuild(t *testing.T, b bench) string {
	t.Helper()
	state, _, err := eventstore.Rebuild(t.Context(), b.store, b.SQL, "o1", apply)
	require.NoError(t, err)
	body, err := json.Marshal(state)
	require.NoError(t, err)
	return string(body)
}

func TestAnEventThatCannotBeAppliedIsNamed(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		require.NoError(t, b.append(t.Context(), eventstore.Change{
			Stream: "o1", Events: []eventstore.Event{added(1), {Type: "odd", Body: []byte(`{"add":"x"}`)}},
		}))
		_, _, err := eventstore.Rebuild(t.Context(), b.store, b.SQL, "o1", apply)
		require.ErrorContains(t, err, "order o1, version 2")
	})
}

// The process is killed, as by the kernel, when it has appended and not committed yet.
func TestACrashBeforeTheCommitLeavesNeitherEventNorOutboxRow(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		crash(t, "before the commit", b.url)
		events, published := left(t, b)
		require.Zero(t, events)
		require.Zero(t, published)
		require.NoError(t, b.append(t.Context(), eventstore.Change{
			Stream: "o1", Customer: "c1", Events: []eventstore.Event{added(1)},
		}), "and nobody is in the way of the next one")
	})
}

// The naive way commits the event first and publishes after it.
func TestWithoutTheOutboxInTheTransactionACrashLeavesAnEventThatNobodyHearsOf(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		crash(t, "between commit and publishing", b.url)
		events, published := left(t, b)
		require.Equal(t, 1, events)
		require.Zero(t, published)
	})
}

func left(t *testing.T, b bench) (events, published int) {
	t.Helper()
	stored, err := b.store.Events(t.Context(), b.SQL, "o1", 0)
	require.NoError(t, err)
	return len(stored), len(outboxtest.Events(t, b.SQL, b.ob))
}

func crash(t *testing.T, kind, url string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), crashEnv+"="+kind, "SHOP_TEST_DATABASE="+url)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "here\n", line)
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
}

// appendAndHang is the process that crash kills.
func appendAndHang(kind, url string) error {
	ctx := context.Background()
	db, err := kit.Open(ctx, url)
	if err != nil {
		return err
	}
	ob, err := outbox.New(db.Dialect)
	if err != nil {
		return err
	}
	tx, err := db.SQL.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if strings.HasPrefix(kind, "before") {
		err = eventstore.New(db, ob, "orders").Append(ctx, tx, eventstore.Change{
			Stream: "o1", Customer: "c1", Events: []eventstore.Event{added(1)},
		})
	} else {
		_, err = tx.ExecContext(ctx,
			"INSERT INTO order_events (stream, version, type, body) VALUES ('o1', 1, 'added', '{}')")
		err = errors.Join(err, tx.Commit())
	}
	if err != nil {
		return err
	}
	fmt.Println("here")
	select {}
}
