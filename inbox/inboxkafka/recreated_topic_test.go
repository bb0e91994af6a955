//go:build unix

package inboxkafka_test

import (
	"context"
	"database/sql"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/inboxkafka"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/kafkatest"
)

// eachKafka runs fn on a cluster that knows committed offsets by the topic's name, and on one that knows them by its
// id.
func eachKafka(t *testing.T, fn func(t *testing.T, brokers []string, byName bool)) {
	t.Helper()
	t.Run("Kafka 3.9", func(t *testing.T) {
		fn(t, kafkatest.Start(t, kafkatest.Options{Version: kafkatest.Kafka39}).Brokers(), true)
	})
	t.Run("Kafka 4", func(t *testing.T) { fn(t, strings.Split(dbtest.Kafka(t), ","), false) })
}

// Hazard recreated-topic.
// A topic is deleted and made anew while its messages wait in the consumer's buffer. The interleaving:
//
//  1. The buffer is full, so that nothing is fetched, and the client does not learn of what follows.
//  2. The topic is deleted and made anew, and gets more messages than the old one had.
//  3. The consumer works off its buffer and commits the old offsets. A broker that knows them by the topic's name takes
//     them for the new one's, and the lag looks like nothing.
//  4. Run ends, because the topic is not known by its old id any more, and is started again.
//
// The messages of the new topic are applied, all of them, and those of the old one once.
func TestATopicThatIsMadeAnewLosesNothing(t *testing.T) {
	eachKafka(t, func(t *testing.T, brokers []string, byName bool) {
		for i, mode := range allModes {
			for j, open := range []func(testing.TB) dbtest.Database{dbtest.PostgreSQL, dbtest.MariaDB, dbtest.SQLite} {
				// Where the broker takes offsets by name, every mode on every database: only there the rule
				// alone keeps the messages. Where it refuses them itself, each mode and each database once.
				if !byName && i != j {
					continue
				}
				flavor := []string{dbtest.FlavorPostgreSQL15, dbtest.FlavorMariaDB, dbtest.FlavorSQLite}[j]
				t.Run(string(mode)+" on "+flavor, func(t *testing.T) {
					t.Parallel()
					madeAnew(t, newWorldAt(t, open(t), brokers, "anew-"+uuid.NewString()), mode)
				})
			}
		}
	})
}

func madeAnew(t *testing.T, w world, mode inboxkafka.Mode) {
	w.createTopic(t)
	t.Cleanup(func() { w.deleteTopic(t) })
	before, after := ids("old", 200), ids("new", 300)
	w.produce(t, 0, before...)
	cfg := inboxkafka.WithUnknownAfter(w.config(t, mode), 2*time.Second)
	cfg.Inbox, cfg.Buffer, cfg.MaxBatch = w.named(t, w.topic), 10, 10
	cfg.Options = append(cfg.Options, kgo.MetadataMinAge(100*time.Millisecond))
	begun, going := make(chan struct{}), make(chan struct{})
	once := sync.OnceFunc(func() { close(begun) })
	r := consume(t, cfg, func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
		once()
		<-going
		return w.effect(ctx, tx, m)
	})
	select {
	case <-begun:
	case err := <-r.done:
		require.FailNow(t, "Run has returned", "%v", err)
	}
	w.recreate(t)
	w.produce(t, 0, after...)
	close(going)
	err := r.wait(t)
	require.ErrorContains(t, err, "recreated") // while it was consumed, or while the brokers did not know it
	old := w.effects(t)

	r = consume(t, cfg, w.effect)
	got := w.awaitEffects(t, len(old)+len(after))
	r.end(t)
	require.Equal(t, slices.Concat(before[:len(old)], after), got)
}
