package relaykafka_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaykafka"
)

// Hazard commit-before-fence.
// The predecessor's last commit arrives while the successor's InitProducerID request is on its way. It
// succeeds, so Sent must name it. Therefore the end of the manifests is read afterwards.
func TestACommitJustBeforeTheFenceIsNamed(t *testing.T) {
	w, cluster := fakeTx(t, kfake.SeedTopics(1, "orders"))
	first := w.open(nil)
	arrived, release := make(chan struct{}), make(chan struct{})
	cluster.ControlKey(int16(kmsg.InitProducerID), func(kmsg.Request) (kmsg.Response, error, bool) {
		close(arrived)
		cluster.SleepControl(func() { <-release })
		return nil, nil, false
	})
	opened := make(chan *txTurn)
	go func() {
		defer close(opened)
		if second, err := w.tryOpen(nil); err == nil {
			opened <- second
		}
	}()
	<-arrived
	r := record(1, "orders", "k", nil)
	first.commit(r)
	close(release)
	second := <-opened
	require.NotNil(t, second)
	require.Equal(t, sentOf(r), second.sent())
	require.ErrorIs(t, first.deliver(record(2, "orders", "k", nil))[0], relay.ErrFenced)
}

func TestTransactionsWorkWithEveryKafkaThatHasThem(t *testing.T) {
	for name, versions := range map[string]*kversion.Versions{
		"2.5": kversion.V2_5_0(), "2.8": kversion.V2_8_0(), "3.5": kversion.V3_5_0(), "4.0": kversion.V4_0_0(),
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := fakeTx(t, kfake.SeedTopics(2, "orders"), kfake.MaxVersions(versions))
			w.cfg.ManifestKeep = 1
			first := w.open(nil)
			records := numbered(1, 30, 7, "orders")
			first.commit(records[:10]...)
			first.commit(records[10:20]...)
			position := first.Confirm(1)
			require.NoError(t, forget(w, first, position))
			second := w.open(position)
			require.Equal(t, sentOf(records[10:20]...), second.sent())
			require.ErrorIs(t, first.deliver(records[20:]...)[0], relay.ErrFenced)
			second.commit(records[20:]...)
			require.Equal(t, wantedIDs(records...), eventIDs(committed(t, w.brokers, "orders")))
		})
	}
}

func TestABrokerThatIsTooOldIsRefused(t *testing.T) {
	w, _ := fakeTx(t, kfake.MaxVersions(kversion.V2_4_0()))
	_, err := w.tryOpen(nil)
	require.ErrorIs(t, err, relay.ErrUnusable)
	require.ErrorContains(t, err, "too old for exactly-once mode")
	require.ErrorContains(t, err, "Kafka 2.5")
	require.ErrorContains(t, err, "--mode at-least-once")
}

func TestAnOldTransactionVersionIsToldOnce(t *testing.T) {
	for name, c := range map[string]struct {
		opts  []kfake.Opt
		lines int
	}{
		"old": {[]kfake.Opt{kfake.MaxVersions(kversion.V3_5_0())}, 1},
		"new": {nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := fakeTx(t, c.opts...)
			log := new(lines)
			w.cfg.Logger = slog.New(log)
			sink := newSink(t, w.cfg)
			for range 3 {
				session, err := sink.OpenTransactional(w.ctx(), w.source, nil, func(*relay.Record, error) {})
				require.NoError(t, err)
				session.Close()
			}
			require.Equal(t, c.lines, log.count("transaction.version"))
		})
	}
}

// lines is a log handler that keeps messages.
type lines struct {
	mu   sync.Mutex
	list []string
}

func (l *lines) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }
func (l *lines) WithAttrs([]slog.Attr) slog.Handler               { return l }
func (l *lines) WithGroup(string) slog.Handler                    { return l }
func (l *lines) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, r.Message)
	return nil
}

func (l *lines) count(part string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.list {
		if strings.Contains(line, part) {
			n++
		}
	}
	return n
}

// The error names each missing right, with the command that grants it. A missing right must not look like an
// outage, which ends by itself.
func TestAMissingRightIsNamed(t *testing.T) {
	for _, c := range []struct {
		fault kfake.Fault
		says  []string
	}{
		{
			kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, Err: kerr.TransactionalIDAuthorizationFailed},
			[]string{"needs Write on transactional-id", "--transactional-id "},
		},
		{
			kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Err: kerr.TopicAuthorizationFailed},
			[]string{"needs Create on topic", "--operation Create --topic "},
		},
		{
			kfake.Fault{Keys: []kmsg.Key{kmsg.DescribeConfigs}, Err: kerr.TopicAuthorizationFailed},
			[]string{"needs DescribeConfigs on topic"},
		},
		{
			kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, Err: kerr.InvalidTransactionTimeout},
			[]string{"transaction.max.timeout.ms"},
		},
	} {
		t.Run(c.says[0], func(t *testing.T) {
			w, cluster := fakeTx(t)
			c.fault.Count = -1
			cluster.Fault(c.fault)
			_, err := w.tryOpen(nil)
			require.ErrorIs(t, err, relay.ErrUnusable)
			require.ErrorIs(t, err, c.fault.Err)
			require.ErrorContains(t, err, w.source.ID.String())
			for _, part := range c.says {
				require.ErrorContains(t, err, part)
			}
		})
	}
}

// The first transaction of a session is the first in which its client produces to the topics. See
// awaitPartitions: without it about one in a hundred of these second transactions fails.
func TestTheSecondTransactionOfASessionBeginsItsSequencesAnew(t *testing.T) {
	w, _ := fakeTx(t, kfake.SeedTopics(1, "orders"))
	for i := range int64(100) {
		turn := w.open(nil)
		turn.commit(record(2*i+1, "orders", "k", nil))
		turn.commit(record(2*i+2, "orders", "k", nil))
		turn.Close()
	}
}

func TestAMissingRightToForgetIsNamedAndStopsNothing(t *testing.T) {
	w, cluster := fakeTx(t, kfake.SeedTopics(1, "orders"))
	w.cfg.ManifestKeep = 1
	turn := w.open(nil)
	turn.commit(record(1, "orders", "k", nil))
	cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.DeleteRecords}, Err: kerr.TopicAuthorizationFailed, Count: -1})
	err := forget(w, turn, turn.Confirm(1))
	require.ErrorContains(t, err, "needs Delete on the topic")
	require.ErrorContains(t, err, w.manifest())
	require.NotErrorIs(t, err, relay.ErrUnusable)
	turn.commit(record(2, "orders", "k", nil))
}

func TestOpeningWithoutABrokerIsAnOutage(t *testing.T) {
	w, cluster := fakeTx(t)
	cluster.Close()
	ctx, cancel := context.WithTimeout(w.ctx(), 500*time.Millisecond)
	defer cancel()
	_, err := newSink(t, w.cfg).OpenTransactional(ctx, w.source, nil, nil)
	require.Error(t, err)
	require.NotErrorIs(t, err, relay.ErrUnusable)
	require.ErrorContains(t, err, w.brokers[0])
}

func TestASourceWithoutAnIdentityIsRefused(t *testing.T) {
	w, _ := fakeTx(t)
	w.source.ID = uuid.Nil
	_, err := newSink(t, w.cfg).OpenTransactional(w.ctx(), w.source, nil, nil)
	require.ErrorIs(t, err, relay.ErrUnusable)
	require.ErrorContains(t, err, "no identity")
}

func TestATransactionalIDOfOnesOwnIsRefused(t *testing.T) {
	cfg := relaykafka.Config{Brokers: []string{"127.0.0.1"}, ExtraOptions: []kgo.Opt{kgo.TransactionalID("mine")}}
	_, err := relaykafka.New(cfg)
	require.ErrorContains(t, err, "TransactionalID")
	_, err = relaykafka.NewPublisher(cfg, relaykafka.PublisherOptions{})
	require.ErrorContains(t, err, "TransactionalID")
}

// Hazard commit-before-fence.
// The client of a fenced session must do nothing more either: a retry of franz-go in the background could
// fence the successor.
func TestAFencedSessionLeavesItsSuccessorAlone(t *testing.T) {
	w, _ := fakeTx(t, kfake.SeedTopics(2, "orders"))
	first := w.open(nil)
	second := w.open(nil)
	require.ErrorIs(t, first.deliver(record(1, "orders", "k", nil))[0], relay.ErrFenced)
	for i := range int64(20) {
		second.commit(record(2+i, "orders", "k", nil))
	}
}
