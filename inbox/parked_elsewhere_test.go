package inbox_test

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/outbox"
)

// onLog calls do when a line is logged.
type onLog struct {
	line string
	do   func()
}

func (l onLog) Enabled(context.Context, slog.Level) bool { return true }
func (l onLog) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l onLog) WithGroup(string) slog.Handler            { return l }
func (l onLog) Handle(_ context.Context, r slog.Record) error {
	if r.Message == l.line {
		l.do()
	}
	return nil
}

// Hazard parked-elsewhere.
// A batch begins while no key stands still. Before it takes its messages, a member that was declared dead
// wakes and parks the first of them. The batch finds that one done; the next ones of its key wait behind it.
func TestABatchSeesWhatAnotherMemberParksMeanwhile(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		ms := []inbox.Message{order("1", "k"), order("2", "k"), order("3", "k"), order("4", "k")}
		dead, once := b.inbox(t, "billing", inbox.WithMaxAttempts(1)), true
		ib := b.inbox(t, "billing",
			inbox.WithLogger(slog.New(onLog{"inbox: the handler failed, halving the batch", func() {
				if once {
					once = false
					require.Equal(t, inbox.Parked, b.process(t, dead, ms[0], poison))
				}
			}})))
		calls, failed := 0, false
		outcomes, err := ib.ProcessBatch(t.Context(), b.DB, ms,
			func(ctx context.Context, tx *sql.Tx, ms []inbox.Message) error {
				if !failed {
					failed = true
					return errors.New("once")
				}
				return b.applyAll(&calls)(ctx, tx, ms)
			})
		require.NoError(t, err)
		require.Equal(t, []inbox.Outcome{inbox.Duplicate, inbox.Parked, inbox.Parked, inbox.Parked}, outcomes)
		require.Zero(t, b.effects(t))
	})
}

// An event's headers have a limit in JSON, which writes some characters as six: a reason full of them must not
// make a message impossible to park.
func TestADeadLetterIsWrittenWhateverItsHeadersHold(t *testing.T) {
	b := onSQLite(t)
	ob, err := outbox.New(b.Dialect)
	require.NoError(t, err)
	ib := b.inbox(t, "billing", inbox.WithMaxAttempts(1), inbox.WithDeadLetter(ob, "orders.dead"))
	for id, reason := range map[string]string{"long": strings.Repeat("\x01<", 3000), "short": "no"} {
		m := order(id, id)
		m.Headers = map[string]string{"query": strings.Repeat("&", 7000)}
		require.Equal(t, inbox.Parked, b.process(t, ib, m,
			func(context.Context, *sql.Tx) error { return errors.New(reason) }))
	}
	require.Equal(t, 2, b.count(t, "SELECT count(*) FROM outbox_events WHERE topic = 'orders.dead'"))
	require.Equal(t, 1,
		b.count(t, `SELECT count(*) FROM outbox_events WHERE headers LIKE '%"dead_letter_error":"no"%'`))
}
