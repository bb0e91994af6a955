package inboxwatermill_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/inboxwatermill"
	"github.com/postroom/postroom/internal/dbtest"
)

// Sarama's metrics keep one goroutine for the life of the process.
func TestMain(m *testing.M) {
	if crash := strings.Fields(os.Getenv(envCrash)); len(crash) == 3 {
		err := crashAfterThreeCommits(broker{crash[0], crash[1], crash[2]}, os.Getenv(envCrashDatabase))
		fmt.Fprintln(os.Stderr, "the consumer ended by itself:", err)
		os.Exit(2)
	}
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"))
}

var errHandler = errors.New("the handler's own error")

func database(t *testing.T, db dbtest.Database) (dbtest.Database, *inbox.Inbox) {
	t.Helper()
	_, err := db.DB.ExecContext(t.Context(), "CREATE TABLE effects (message_id varchar(255) NOT NULL)")
	require.NoError(t, err)
	ib, err := inbox.New(db.Dialect, "billing", inbox.WithBackoff(time.Millisecond, time.Millisecond),
		inbox.WithMaxAttempts(2), inbox.WithLogger(slog.New(slog.DiscardHandler)))
	require.NoError(t, err)
	return db, ib
}

func each(t *testing.T, fn func(t *testing.T, db dbtest.Database, ib *inbox.Inbox)) {
	t.Helper()
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		db, ib := database(t, db)
		fn(t, db, ib)
	})
}

func onSQLite(t *testing.T) (*sql.DB, *inbox.Inbox) {
	t.Helper()
	db, ib := database(t, dbtest.Migrate(t, dbtest.SQLite(t)))
	return db.DB, ib
}

func effects(t *testing.T, db *sql.DB) (n int) {
	t.Helper()
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM effects").Scan(&n))
	return n
}

// leaveEffect writes a row in the transaction of the message's context.
func leaveEffect(msg *message.Message) error {
	_, err := inboxwatermill.MustTx(msg.Context()).ExecContext(msg.Context(), "INSERT INTO effects VALUES ('m')")
	return err
}

func TestTheHandlerRunsOnceInATransaction(t *testing.T) {
	each(t, func(t *testing.T, db dbtest.Database, ib *inbox.Inbox) {
		produced := message.NewMessage(watermill.NewUUID(), nil)
		var outcomes []inbox.Outcome
		runs := 0
		h := inboxwatermill.Middleware(ib, db.DB, inboxwatermill.OnOutcome(
			func(_ *message.Message, outcome inbox.Outcome, err error) {
				require.NoError(t, err)
				outcomes = append(outcomes, outcome)
			}))(func(msg *message.Message) ([]*message.Message, error) {
			runs++
			return message.Messages{produced}, leaveEffect(msg)
		})
		id := watermill.NewUUID()
		got, err := h(message.NewMessage(id, nil))
		require.NoError(t, err)
		require.Equal(t, []*message.Message{produced}, got)
		got, err = h(message.NewMessage(id, nil))
		require.NoError(t, err, "a duplicate is acknowledged")
		require.Empty(t, got, "and produces nothing")
		require.Equal(t, 1, runs)
		require.Equal(t, 1, effects(t, db.DB))
		require.Equal(t, []inbox.Outcome{inbox.Applied, inbox.Duplicate}, outcomes)
	})
}

func TestAFailedAttemptLeavesNothingBehind(t *testing.T) {
	each(t, func(t *testing.T, db dbtest.Database, ib *inbox.Inbox) {
		runs := 0
		h := inboxwatermill.Middleware(ib, db.DB)(func(msg *message.Message) ([]*message.Message, error) {
			runs++
			require.NoError(t, leaveEffect(msg))
			produced := message.Messages{message.NewMessage(watermill.NewUUID(), nil)}
			switch runs {
			case 1, 3, 4:
				return produced, errHandler
			}
			return produced, nil
		})
		got, err := h(message.NewMessage("succeeds at its second attempt", nil))
		require.NoError(t, err)
		require.Len(t, got, 1, "those of the attempt that was committed")

		got, err = h(message.NewMessage("fails", nil))
		require.ErrorIs(t, err, errHandler)
		var attempts *inbox.AttemptsError
		require.ErrorAs(t, err, &attempts)
		require.Empty(t, got)
		require.Equal(t, 1, effects(t, db.DB))
	})
}

func TestTheMessageHasItsOwnContextAgainAfterwards(t *testing.T) {
	type key struct{}
	db, ib := onSQLite(t)
	own := context.WithValue(t.Context(), key{}, "own")
	msg := message.NewMessageWithContext(own, "m", nil)
	h := inboxwatermill.Middleware(ib, db)(func(msg *message.Message) ([]*message.Message, error) {
		require.Equal(t, "own", msg.Context().Value(key{}))
		_, ok := inboxwatermill.Tx(msg.Context())
		require.True(t, ok)
		panic("the handler's")
	})
	_, err := h(msg)
	var panicked *inbox.PanicError
	require.ErrorAs(t, err, &panicked)
	require.Equal(t, own, msg.Context())
	_, ok := inboxwatermill.Tx(msg.Context())
	require.False(t, ok)
}

func TestWithoutTheMiddlewareMustTxSaysWhatIsMissing(t *testing.T) {
	require.PanicsWithValue(t, "inboxwatermill: no transaction in the context: add inboxwatermill.Middleware to the "+
		"router or the handler, and use the context of the message",
		func() { inboxwatermill.MustTx(t.Context()) })
	db, _ := onSQLite(t)
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer func() { _ = tx.Rollback() }()
	require.Same(t, tx, inboxwatermill.MustTx(inboxwatermill.WithTx(t.Context(), tx)), "for tests of handlers")
}

func TestTheIDAndThePositionComeFromTheOptions(t *testing.T) {
	each(t, func(t *testing.T, db dbtest.Database, ib *inbox.Inbox) {
		cloudEvent := func(msg *message.Message) string {
			return strings.TrimSpace(msg.Metadata.Get("ce_source") + " " + msg.Metadata.Get("ce_id"))
		}
		h := inboxwatermill.Middleware(ib, db.DB, inboxwatermill.WithID(cloudEvent),
			inboxwatermill.WithPosition(func(msg *message.Message) *inbox.Position {
				return &inbox.Position{Topic: "orders", Partition: 3, Offset: 7}
			}))(func(msg *message.Message) ([]*message.Message, error) { return nil, leaveEffect(msg) })

		deliver := func(source, id string) error {
			msg := message.NewMessage("", nil)
			msg.Metadata.Set("ce_source", source)
			msg.Metadata.Set("ce_id", id)
			_, err := h(msg)
			return err
		}
		// Hazard same-id-of-two-sources: the same id of two sources is two messages.
		require.NoError(t, deliver("/shop", "1"))
		require.NoError(t, deliver("/mail", "1"))
		require.NoError(t, deliver("/mail", "1"))
		require.Equal(t, 2, effects(t, db.DB))
		require.ErrorIs(t, deliver("", ""), inbox.ErrNoID)

		var n int
		require.NoError(t, db.DB.QueryRowContext(t.Context(),
			"SELECT count(*) FROM inbox_events WHERE kafka_topic = 'orders' AND kafka_partition = 3 "+
				"AND kafka_offset = 7").Scan(&n))
		require.Equal(t, 2, n)
	})
}

func TestAMessageWithoutUUIDIsRefused(t *testing.T) {
	db, ib := onSQLite(t)
	_, err := inboxwatermill.Middleware(ib, db)(message.PassthroughHandler)(message.NewMessage("", nil))
	require.ErrorIs(t, err, inbox.ErrNoID)
	require.ErrorContains(t, err, "_watermill_message_uuid")
}

func TestTwoHandlersWithInboxesOfTheirOwnBothHandleAMessage(t *testing.T) {
	db, billing := onSQLite(t)
	mail, err := inbox.New(inbox.SQLite, "mail")
	require.NoError(t, err)
	for _, ib := range []*inbox.Inbox{billing, mail, billing, mail} {
		_, err := inboxwatermill.Middleware(ib, db)(func(msg *message.Message) ([]*message.Message, error) {
			return nil, leaveEffect(msg)
		})(message.NewMessage("m", nil))
		require.NoError(t, err)
	}
	require.Equal(t, 2, effects(t, db))
}
