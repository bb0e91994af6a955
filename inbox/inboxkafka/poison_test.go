package inboxkafka_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/inboxkafka"
	"github.com/postroom/postroom/internal/cli"
	sqldb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbopen"
	"github.com/postroom/postroom/internal/dbtest"
)

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
	r := consume(t, cfg, w.poisonous)
	w.awaitCommitted(t, int64(records))
	r.end(t)
}

// poisonous handles what can be handled.
func (w world) poisonous(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
	switch {
	case m.ID == "panics":
		panic("a handler's mistake")
	case m.ID == "fails":
		return errors.New("a handler's error")
	case strings.HasSuffix(m.ID, "kills"):
		os.Exit(9)
	case m.ID == "huge":
		_, err := tx.ExecContext(ctx, w.sql("INSERT INTO documents (body) VALUES (?)"), m.Payload)
		return err
	}
	return w.effect(ctx, tx, m)
}

// hugeFor is a payload that the database does not take: on MariaDB more than a packet has room
// for, on PostgreSQL more than the column allows.
func (w world) hugeFor(t *testing.T) []byte {
	t.Helper()
	column, size := "bytea CHECK (octet_length(body) < 1000000)", 9<<20
	if w.Dialect == sqldb.MySQL {
		column, size = "longblob", 17<<20
	}
	_, err := w.DB.ExecContext(t.Context(), "CREATE TABLE documents (body "+column+")")
	require.NoError(t, err)
	limit, admin := fmt.Sprint(32<<20), kadm.NewClient(w.producer)
	answers, err := admin.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Name: "max.message.bytes", Value: &limit}},
		w.topic)
	require.NoError(t, err)
	require.NoError(t, answers[0].Err)
	return bytes.Repeat([]byte("x"), size)
}

// Hazard killed-batch.
// Issue 5's poison, in each mode and on each server: a message that panics, one that fails, one that
// kills the process, one that cannot be decoded, one over any size. Each is parked with a reason that
// the command line shows, attempts are counted when they begin, and what is around them takes effect once.
func TestPoisonIsParkedWithAReadableReasonAndTheRestFlows(t *testing.T) {
	eachModeAndServer(t, func(t *testing.T, db dbtest.Database, mode inboxkafka.Mode) {
		w := newWorld(t, db, 1)
		w.produce(t, 0, "a", "panics", "b", "fails", "c", "", "d")
		huge := w.record(0, "huge")
		huge.Value = w.hugeFor(t)
		require.NoError(t, w.producer.ProduceSync(t.Context(), huge).FirstErr())
		w.produce(t, 0, "e", "kills", "f", "g")
		w.killVictims(t, mode, 1, 12)
		require.Equal(t, []string{"a", "b", "c", "d", "e", "f", "g"}, w.effects(t))

		tooMuch := map[sqldb.Dialect]string{sqldb.PostgreSQL: "violates check constraint",
			sqldb.MySQL: "max_allowed_packet"}[w.Dialect]
		reasons := map[string][]string{
			"panics":         {"the handler panicked: a handler's mistake"},
			"fails":          {"a handler's error"},
			"kills":          {"the process ended in the middle of the handler, in 2 attempts of 2"},
			w.topic + "/0@5": {"the record has no message id", "HeaderID"},
			"huge": {tooMuch, fmt.Sprintf("payload of %d bytes was too large to be parked with it, and is at "+
				"%s/0@7", len(huge.Value), w.topic)},
		}
		parked := w.relayParkedList(t)
		require.Len(t, parked, len(reasons))
		for _, p := range parked {
			require.Contains(t, reasons, p.MessageID)
			require.Equal(t, "failed", p.State)
			for _, reason := range reasons[p.MessageID] {
				require.Contains(t, p.Error, reason, p.MessageID)
			}
			text, _, _ := strings.Cut(p.Error, "\n\nThe stack of the panic:\n")
			for _, r := range text {
				require.True(t, unicode.IsPrint(r), "%q is for people", p.Error)
			}
		}
	})
}

// parkedMessage is what `relay inbox parked list --json` says of one.
type parkedMessage struct {
	State     string `json:"state"`
	MessageID string `json:"message_id"`
	Attempts  int    `json:"attempts"`
	Error     string `json:"error"`
}

// relay runs the command line on the world's database, and returns what it prints.
func (w world) relay(t *testing.T, args ...string) []byte {
	t.Helper()
	var out, failure bytes.Buffer
	code := cli.Main(cli.Env{Args: append(args, "--database-url", w.URL), Environ: os.Environ(), Stdout: &out,
		Stderr: &failure})
	require.Zero(t, code, "relay %s: %s", strings.Join(args, " "), &failure)
	return out.Bytes()
}

func (w world) relayParkedList(t *testing.T) (parked []parkedMessage) {
	t.Helper()
	require.NoError(t, json.Unmarshal(w.relay(t, "inbox", "parked", "list", "--json"), &parked))
	return parked
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
			require.Len(t, w.relayParkedList(t), 1)
		})
	}
}

// killVictims runs processes until one comes to its end.
func (w world) killVictims(t *testing.T, mode inboxkafka.Mode, lanes, records int) {
	t.Helper()
	deaths := 0
	for {
		victim := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestVictim$", "-test.v")
		victim.Env = append(os.Environ(), victimDatabase+"="+w.URL, victimTopic+"="+w.topic, victimMode+"="+
			string(mode),
			fmt.Sprint(victimLanes, "=", lanes), fmt.Sprint(victimRecords, "=", records))
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
	want := []int{3} // the batch, and two attempts at the message
	switch {
	case mode == inboxkafka.PerMessage:
		want = []int{2}
	case lanes > 1:
		want = []int{2, 3} // its lane may have it alone
	}
	require.Contains(t, want, deaths)
	require.Equal(t, 1, w.count(t, "SELECT count(*) FROM inbox_parked WHERE state = 'failed' AND attempts = 2 AND "+
		"error "+
		"LIKE '%the process ended in the middle of the handler%'"))
	require.Zero(t, w.count(t, "SELECT count(*) FROM inbox_attempts WHERE message_id NOT LIKE 'postroom batch of %'"))
}
