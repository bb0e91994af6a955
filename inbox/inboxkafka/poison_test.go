package inboxkafka_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/inboxkafka"
	"github.com/postroom/postroom/internal/dbopen"
	"github.com/postroom/postroom/internal/dbtest"
)

// poisonous handles all but two messages.
func (w world) poisonous(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
	switch m.ID {
	case "panics":
		panic("a handler's mistake")
	case "fails":
		return errors.New("a handler's error")
	}
	return w.effect(ctx, tx, m)
}

func TestWhatFailsForGoodIsParkedAndTheRestFlows(t *testing.T) {
	for _, mode := range []inboxkafka.Mode{inboxkafka.PerMessage, inboxkafka.Batch, inboxkafka.OffsetsInDatabase} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, dbtest.PostgreSQL(t), 1)
			w.produce(t, 0, append(append(ids("a", 10), "panics", "fails"), ids("b", 10)...)...)
			r := consume(t, w.config(t, mode), w.poisonous)
			require.Equal(t, append(ids("a", 10), ids("b", 10)...), w.awaitEffects(t, 20))
			r.end(t)
			require.Equal(t, int64(22), w.committed(t))
			for id, reason := range map[string]string{"panics": "a handler's mistake", "fails": "a handler's error"} {
				var text string
				require.NoError(t, w.DB.QueryRowContext(t.Context(), "SELECT error FROM inbox_parked WHERE message_id = $1", id).Scan(&text))
				require.Contains(t, text, reason)
			}
		})
	}
}

// Environment of the process that a message kills.
const (
	victimDatabase = "INBOXKAFKA_VICTIM_DATABASE"
	victimTopic    = "INBOXKAFKA_VICTIM_TOPIC"
	victimMode     = "INBOXKAFKA_VICTIM_MODE"
)

// TestVictim is a consumer in a process of its own, which the message "kills" ends. It
// is run by the test below alone.
func TestVictim(t *testing.T) {
	url := os.Getenv(victimDatabase)
	if url == "" {
		return
	}
	target, err := dbopen.Open(t.Context(), url)
	require.NoError(t, err)
	w := world{topic: os.Getenv(victimTopic), brokers: strings.Split(dbtest.Kafka(t), ",")}
	w.Dialect, w.DB = target.Dialect, target.DB
	defer func() { require.NoError(t, w.DB.Close()) }()
	last := make(chan struct{}, 1)
	cfg := w.config(t, inboxkafka.Mode(os.Getenv(victimMode)))
	cfg.Inbox = w.inbox(t, inbox.WithMaxAttempts(2))
	// The next process is the same member, and need not wait for the session of the last.
	cfg.Options = append(cfg.Options, kgo.InstanceID("victim"))
	r := consume(t, cfg, func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
		switch m.ID {
		case "kills":
			os.Exit(9)
		case "last":
			last <- struct{}{}
		}
		return w.effect(ctx, tx, m)
	})
	<-last
	r.end(t)
}

// Attempts are counted when they begin: a message that kills the process is found out, and
// parked; those around it take effect once.
func TestAMessageThatKillsTheProcessIsParked(t *testing.T) {
	for _, mode := range []inboxkafka.Mode{inboxkafka.PerMessage, inboxkafka.Batch, inboxkafka.OffsetsInDatabase} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, dbtest.PostgreSQL(t), 1)
			w.produce(t, 0, "a", "kills", "b", "last")
			deaths := 0
			for {
				victim := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestVictim$", "-test.v")
				victim.Env = append(os.Environ(), victimDatabase+"="+w.URL, victimTopic+"="+w.topic, victimMode+"="+string(mode))
				out, err := victim.CombinedOutput()
				if err == nil {
					break
				}
				var exit *exec.ExitError
				require.ErrorAs(t, err, &exit)
				require.Equal(t, 9, exit.ExitCode(), "%s", out)
				deaths++
				require.LessOrEqual(t, deaths, 2*inbox.DefaultMaxAttempts, "it is never parked")
			}
			require.GreaterOrEqual(t, deaths, 2)
			require.Equal(t, []string{"a", "b", "last"}, w.effects(t))
			require.Equal(t, 1, w.count(t, "SELECT count(*) FROM inbox_parked"))
		})
	}
}
