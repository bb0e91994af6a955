package relaykafka_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"github.com/postroom/postroom/internal/kafkaread"
	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaykafka"
)

// lockedOut is a session whose credentials are no longer valid. The broker has accepted row 3 for topic
// taken, and its answer was lost, so kgo keeps that record. kgo fails row 4 for topic unsent, which it never
// sent.
type lockedOut struct {
	cluster *kfake.Cluster
	network *lossyNetwork
	sink    *relaykafka.Sink
	session relay.Session
	got     *answers
	refused *kfake.FaultHandle

	taken, unsent *relay.Record
}

func newLockedOut(t *testing.T) *lockedOut {
	t.Helper()
	l := &lockedOut{network: newLossyNetwork(), got: newAnswers()}
	l.cluster = fakeKafka(
		t, kfake.EnableSASL(), kfake.SeedTopics(1, "taken", "unsent"), kfake.Superuser("PLAIN", "relay", "secret"),
	)
	l.sink = newSink(t, relaykafka.Config{
		Brokers: l.cluster.ListenAddrs(), ExtraOptions: append(shortTimeouts(), kgo.Dialer(l.network.dial)),
		SASL: []sasl.Mechanism{plain.Auth{User: "relay", Pass: "secret"}.AsMechanism()},
	})
	var err error
	l.session, err = l.sink.Open(t.Context(), l.got.ack)
	require.NoError(t, err)
	t.Cleanup(l.session.Close)
	first := []*relay.Record{record(1, "taken", "k", []byte("1")), record(2, "unsent", "k", []byte("2"))}
	l.session.Deliver(t.Context(), first)
	for _, err := range l.got.wait(t, first...) {
		require.NoError(t, err)
	}

	l.refused = l.cluster.Fault(
		kfake.Fault{Keys: []kmsg.Key{kmsg.SASLAuthenticate}, Err: kerr.SaslAuthenticationFailed, Count: -1},
	)
	l.network.loseAnswers()
	l.taken, l.unsent = record(3, "taken", "k", []byte("3")), record(4, "unsent", "k", []byte("4"))
	l.session.Deliver(t.Context(), []*relay.Record{l.taken})
	l.network.waitForLosses(t, 1)
	l.network.closeClient() // the next connection must authenticate
	l.awaitRefusals(t, 2)
	l.session.Deliver(t.Context(), []*relay.Record{l.unsent})
	waiter := l.session.(relay.OutageReporter)
	require.Eventually(t, func() bool { return waiter.Outage() != nil }, patience, time.Millisecond)
	require.ErrorContains(t, waiter.Outage(), "SASL_AUTHENTICATION_FAILED")
	require.ErrorContains(t, waiter.Outage(), "the user and the password")
	return l
}

func (l *lockedOut) awaitRefusals(t *testing.T, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, l.refused.Wait(ctx, l.refused.Hits()+n))
}

// Hazard delivery-timeout with rejected credentials. A relay that ends the session because row 4 failed, and
// opens another one, sends row 3 twice.
func TestRefusedCredentialsMakeNoDuplicates(t *testing.T) {
	l := newLockedOut(t)
	behind := record(5, "taken", "k", []byte("5"))
	delivered := make(chan struct{})
	go func() { // as the relay does, because it does not know about the failure yet
		defer close(delivered)
		l.session.Deliver(t.Context(), []*relay.Record{behind})
	}()
	l.awaitRefusals(t, 3)
	for _, r := range []*relay.Record{l.taken, l.unsent, behind} {
		require.False(t, l.got.has(r), "row %d is acknowledged while the broker may have row 3", r.ID)
	}

	l.network.restore()
	l.refused.Remove()
	require.NoError(t, l.got.wait(t, l.taken)[0])
	errs := l.got.wait(t, l.unsent, behind)
	<-delivered
	l.session.Close()
	again := newAnswers()
	next, err := l.sink.Open(t.Context(), again.ack)
	require.NoError(t, err)
	defer next.Close()
	for i, r := range []*relay.Record{l.unsent, behind} {
		require.Error(t, errs[i])
		require.NotErrorIs(t, errs[i], relay.ErrRejected)
		next.Deliver(t.Context(), []*relay.Record{r})
		require.NoError(t, again.wait(t, r)[0])
	}
	require.Equal(t, []string{"1", "3", "5"}, values(t, l.cluster, "taken"), "each once")
	require.Equal(t, []string{"2", "4"}, values(t, l.cluster, "unsent"), "each once")
}

func TestCloseGivesUpWhatIsHeldForRefusedCredentials(t *testing.T) {
	l := newLockedOut(t)
	l.session.Close()
	for _, err := range l.got.wait(t, l.taken, l.unsent) {
		require.Error(t, err)
		require.NotErrorIs(t, err, relay.ErrRejected)
	}
}

func values(t *testing.T, cluster *kfake.Cluster, topic string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	records, err := kafkaread.Records(
		ctx, cluster.ListenAddrs(), topic, kgo.ReadUncommitted(),
		kgo.SASL(plain.Auth{User: "relay", Pass: "secret"}.AsMechanism()),
	)
	require.NoError(t, err)
	var list []string
	for _, r := range records {
		list = append(list, string(r.Value))
	}
	return list
}
