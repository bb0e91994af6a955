package inboxkafka_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

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
	victimRecords  = "INBOXKAFKA_VICTIM_RECORDS" // in the topic
	victimLanes    = "INBOXKAFKA_VICTIM_LANES"
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
	w.producer, err = kgo.NewClient(kgo.SeedBrokers(w.brokers...))
	require.NoError(t, err)
	defer w.producer.Close()
	cfg := w.config(t, inboxkafka.Mode(os.Getenv(victimMode)))
	cfg.Inbox = w.inbox(t, inbox.WithMaxAttempts(2))
	// The next process is the same member, and need not wait for the session of the last.
	cfg.Options = append(cfg.Options, kgo.InstanceID("victim"))
	records, err := strconv.Atoi(os.Getenv(victimRecords))
	require.NoError(t, err)
	cfg.KeyConcurrency, err = strconv.Atoi(os.Getenv(victimLanes))
	require.NoError(t, err)
	r := consume(t, cfg, func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
		if strings.HasSuffix(m.ID, "kills") {
			os.Exit(9)
		}
		return w.effect(ctx, tx, m)
	})
	require.Eventually(t, func() bool { return w.committed(t) == int64(records) }, patience, 20*time.Millisecond)
	r.end(t)
}

// Attempts are counted when they begin: a message that kills the process is found out, and
// parked; those around it take effect once.
func TestAMessageThatKillsTheProcessIsParked(t *testing.T) {
	eachModeAndServer(t, func(t *testing.T, db dbtest.Database, mode inboxkafka.Mode) {
		w := newWorld(t, db, 1)
		w.produce(t, 0, "a", "kills", "b", "last")
		w.killVictims(t, mode, 1, 4)
		require.Equal(t, []string{"a", "b", "last"}, w.effects(t))
	})
}

// The lanes of a partition find theirs, too: with a key or without, it comes to the lane in
// which a batch was not finished.
func TestAMessageThatKillsTheProcessIsParkedInLanesToo(t *testing.T) {
	for _, kills := range []string{"kills", "key:kills"} {
		t.Run(kills, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, dbtest.PostgreSQL(t), 1)
			w.produce(t, 0, append(append(ids("a", 40), kills), append(ids("b", 40), "last")...)...)
			w.killVictims(t, inboxkafka.Batch, 4, 82)
			require.ElementsMatch(t, append(append(ids("a", 40), ids("b", 40)...), "last"), w.effects(t))
		})
	}
}

// killVictims runs processes until one comes to its end.
func (w world) killVictims(t *testing.T, mode inboxkafka.Mode, lanes, records int) {
	t.Helper()
	deaths := 0
	for {
		victim := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestVictim$", "-test.v")
		victim.Env = append(os.Environ(), victimDatabase+"="+w.URL, victimTopic+"="+w.topic, victimMode+"="+string(mode), fmt.Sprint(victimLanes, "=", lanes), fmt.Sprint(victimRecords, "=", records))
		out, err := victim.CombinedOutput()
		if err == nil {
			break
		}
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit)
		require.Equal(t, 9, exit.ExitCode(), "%s", out)
		deaths++
		require.LessOrEqual(t, deaths, 4, "it is never parked")
	}
	want := 3 // the batch, and two attempts at the message
	if mode == inboxkafka.PerMessage {
		want = 2
	}
	require.Equal(t, want, deaths)
	require.Equal(t, 1, w.count(t, "SELECT count(*) FROM inbox_parked WHERE state = 'failed' AND attempts = 2 AND error LIKE '%the process ended in the middle of the handler%'"))
	require.Equal(t, 1, w.count(t, "SELECT count(*) FROM inbox_parked"))
	require.Zero(t, w.count(t, "SELECT count(*) FROM inbox_attempts WHERE message_id NOT LIKE 'postroom batch of %'"))
}
