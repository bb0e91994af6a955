package inboxwatermill_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/inboxwatermill"
	"github.com/postroom/postroom/internal/dbtest"
)

var quiet = inboxwatermill.BatchConfig{Logger: slog.New(slog.DiscardHandler)}

func numbered(n int) (all listed) {
	for i := range n {
		all = append(all, message.NewMessage(fmt.Sprint("m", i), nil))
	}
	return all
}

func leaveEffects(_ context.Context, msgs []*message.Message) error {
	for _, msg := range msgs {
		if err := leaveOwnEffect(msg); err != nil {
			return err
		}
	}
	return nil
}

// What is wrong with more than one message ends RunBatch: returned to the broker, which delivers it again at once,
// it would be tried for ever, without a pause or a line in the log.
func TestWhatNoMessageGetsPastEndsRunBatch(t *testing.T) {
	runs := 0
	for _, c := range []struct {
		name    string
		migrate bool
		opts    []inbox.Option
		handle  inboxwatermill.BatchHandlerFunc
		check   func(t *testing.T, err error)
	}{
		{"tables are missing", false, nil, leaveEffects, func(t *testing.T, err error) {
			require.ErrorContains(t, err, "relay migrate up")
		}},
		{"the handler commits", true, nil, func(ctx context.Context, msgs []*message.Message) error {
			runs++
			require.Len(t, msgs, 1, "before it has a batch whose ids it could commit")
			require.NoError(t, leaveEffects(ctx, msgs))
			return inboxwatermill.MustTx(ctx).Commit()
		}, func(t *testing.T, err error) {
			require.ErrorIs(t, err, inbox.ErrHandlerEndedTx)
			require.Equal(t, 1, runs)
		}},
		{"it fails for good, and the policy is Halt", true, []inbox.Option{inbox.WithOnFailure(inbox.Halt)},
			func(context.Context, []*message.Message) error {
				return errHandler
			}, func(t *testing.T, err error) {
				var attempts *inbox.AttemptsError
				require.ErrorAs(t, err, &attempts)
				require.Equal(t, "m0", attempts.MessageID)
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			db := dbtest.SQLite(t)
			if c.migrate {
				db = dbtest.Migrate(t, db)
			}
			db, _ = database(t, db)
			ib, err := inbox.New(db.Dialect, "billing",
				append(c.opts, inbox.WithMaxAttempts(1), inbox.WithLogger(slog.New(slog.DiscardHandler)))...)
			require.NoError(t, err)
			batch, failed := numbered(5), 0
			err = inboxwatermill.RunBatch(t.Context(), ib, db.DB, batch, "orders", c.handle, quiet,
				inboxwatermill.OnOutcome(func(_ *message.Message, _ inbox.Outcome, err error) {
					require.Error(t, err)
					failed++
				}))
			require.ErrorContains(t, err, `inboxwatermill: consume "orders"`)
			c.check(t, err)
			require.Equal(t, 1, failed)
			for _, msg := range batch {
				<-msg.Nacked()
			}
		})
	}
}

// open delivers what it has and stays open until ctx ends.
type open struct{ listed }

func (o open) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	all, err := o.listed.Subscribe(ctx, topic)
	out := make(chan *message.Message)
	go func() {
		defer close(out)
		for msg := range all {
			select {
			case out <- msg:
			case <-ctx.Done():
				return
			}
		}
		<-ctx.Done()
	}()
	return out, err
}

// A message that cannot be handled is kept for a while and logged, and holds up no other.
func TestAMessageThatCannotBeHandledIsReturnedAfterAPause(t *testing.T) {
	for name, pause := range map[string]time.Duration{"long": time.Hour, "short": time.Nanosecond} {
		t.Run(name, func(t *testing.T) {
			db, ib := onSQLite(t)
			var log bytes.Buffer
			bad, good := message.NewMessage("", nil), message.NewMessage("m1", nil)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ended := make(chan error, 1)
			go func() {
				ended <- inboxwatermill.RunBatch(ctx, ib, db, open{listed{bad, good}}, "orders", leaveEffects,
					inboxwatermill.BatchConfig{NackDelay: pause, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			}()
			<-good.Acked()
			if pause == time.Hour {
				select {
				case <-bad.Nacked():
					require.FailNow(t, "returned without a pause")
				default:
				}
				cancel()
			}
			<-bad.Nacked()
			cancel()
			require.NoError(t, <-ended)
			require.Equal(t, 1, strings.Count(log.String(), "cannot be handled"))
			require.Contains(t, log.String(), inbox.ErrNoID.Error())
		})
	}
}

// And after an error what is left of its batch is not handled before it.
func TestWhatFollowsInABatchIsNotHandledAfterAnError(t *testing.T) {
	db, _ := onSQLite(t)
	ib, err := inbox.New(inbox.SQLite, "billing", inbox.WithOnFailure(inbox.Halt), inbox.WithMaxAttempts(1),
		inbox.WithLogger(slog.New(slog.DiscardHandler)))
	require.NoError(t, err)
	batch := numbered(4)
	batch[1].UUID = ""
	config := quiet
	config.Wait = time.Second // until all of them are there
	config.Size = 3
	err = inboxwatermill.RunBatch(t.Context(), ib, db, batch, "orders",
		func(ctx context.Context, msgs []*message.Message) error {
			if msgs[0].UUID == "m2" {
				return errHandler
			}
			return leaveEffects(ctx, msgs)
		}, config)
	require.ErrorIs(t, err, errHandler)
	require.Equal(t, 1, effects(t, db), "that of the first message")
	for _, msg := range batch[1:] {
		<-msg.Nacked()
	}
}

// Where Kafka has it, that is its name: it is parked as any message that fails for good.
func TestAMessageWhoseIDCannotBeUsedIsParkedUnderItsPlace(t *testing.T) {
	db, ib := database(t, dbtest.Migrate(t, dbtest.SQLite(t)))
	ids := []string{"", "\xff", "a\x00", strings.Repeat("x", inbox.MaxMessageID+1), "m"}
	var batch listed
	for i, id := range ids {
		msg := message.NewMessage(id, []byte("p"))
		msg.Metadata.Set("n", fmt.Sprint(i))
		batch = append(batch, msg)
	}
	position := inboxwatermill.WithPosition(func(msg *message.Message) *inbox.Position {
		var p inbox.Position
		_, err := fmt.Sscan(msg.Metadata.Get("n"), &p.Offset)
		require.NoError(t, err)
		p.Topic = "orders"
		return &p
	})
	parked := func() (all []string) {
		for _, e := range parkedOf(t, db) {
			all = append(all, e.ID+" "+e.State)
		}
		return all
	}
	want := []string{"orders/0@0 failed", "orders/0@1 failed", "orders/0@2 failed", "orders/0@3 failed"}
	require.NoError(t, inboxwatermill.RunBatch(t.Context(), ib, db.DB, batch, "orders", leaveEffects, quiet, position))
	for _, msg := range batch {
		<-msg.Acked()
	}
	require.Equal(t, want, parked())
	require.Equal(t, 1, effects(t, db.DB))

	h := inboxwatermill.Middleware(ib, db.DB, position,
		inboxwatermill.WithTopic(func(*message.Message) string { return "orders" }))
	_, err := h(func(*message.Message) ([]*message.Message, error) {
		t.Error("it must not run")
		return nil, nil
	})(batch[0].Copy())
	require.NoError(t, err)
	require.Equal(t, want, parked(), "delivered again, it is a duplicate")

	halt, err := inbox.New(db.Dialect, "halt", inbox.WithOnFailure(inbox.Halt))
	require.NoError(t, err)
	err = inboxwatermill.RunBatch(t.Context(), halt, db.DB, listed{batch[0].Copy()}, "orders", leaveEffects, quiet,
		position)
	require.ErrorIs(t, err, inbox.ErrNoID, "with Halt it stops the consumer")
}
