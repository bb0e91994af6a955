package relaykafka_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaykafka"
)

func check(t *testing.T, cfg relaykafka.Config, within time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	return newSink(t, cfg).Check(ctx)
}

// nobody returns an address on which nothing listens.
func nobody(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	return listener.Addr().String()
}

func TestCheckNamesTheAddressAtWhichNobodyListens(t *testing.T) {
	address := nobody(t)
	err := check(t, relaykafka.Config{Brokers: []string{address}}, patience)
	require.ErrorContains(t, err, address)
	require.ErrorContains(t, err, "check that the broker is up")
}

func TestCheckPassesWhenOneOfTheBrokersAnswers(t *testing.T) {
	cluster := fakeKafka(t)
	require.NoError(
		t, check(t, relaykafka.Config{Brokers: append([]string{nobody(t)}, cluster.ListenAddrs()...)}, patience),
	)
}

func TestCheckEndsWithItsContextWhenTheBrokerIsSilent(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts connections, and nobody answers
	require.NoError(t, err)
	defer listener.Close()
	start := time.Now()
	err = check(t, relaykafka.Config{Brokers: []string{listener.Addr().String()}}, 300*time.Millisecond)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, listener.Addr().String())
	require.Less(t, time.Since(start), 5*time.Second)
}

func TestCheckSaysThatTheAdvertisedAddressLeadsNowhere(t *testing.T) {
	cluster := fakeKafka(t)
	host, _, err := net.SplitHostPort(nobody(t))
	require.NoError(t, err)
	cluster.ControlKey(int16(kmsg.Metadata), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		response := request.ResponseKind().(*kmsg.MetadataResponse)
		broker := kmsg.NewMetadataResponseBroker()
		broker.NodeID, broker.Host, broker.Port = 7, host, 1
		response.Brokers = append(response.Brokers, broker)
		return response, nil, true
	})
	err = check(t, relaykafka.Config{Brokers: cluster.ListenAddrs()}, patience)
	require.ErrorContains(t, err, "advertised.listeners")
	require.ErrorContains(t, err, cluster.ListenAddrs()[0])
}

func TestSASLIsUsedByCheckAndByEverySession(t *testing.T) {
	cluster := fakeKafka(
		t, kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-256", "relay", "secret"), kfake.SeedTopics(1, "orders"),
	)
	mechanism := func(password string) []sasl.Mechanism {
		return []sasl.Mechanism{scram.Auth{User: "relay", Pass: password}.AsSha256Mechanism()}
	}
	err := check(t, relaykafka.Config{Brokers: cluster.ListenAddrs(), SASL: mechanism("wrong")}, patience)
	require.ErrorContains(t, err, "SASL")
	require.ErrorContains(t, err, "password")
	require.NotContains(t, err.Error(), "wrong")
	err = check(t, relaykafka.Config{
		Brokers: cluster.ListenAddrs(), SASL: []sasl.Mechanism{plain.Auth{User: "relay", Pass: "secret"}.AsMechanism()},
	}, patience)
	require.ErrorContains(t, err, "SASL")

	cfg := relaykafka.Config{Brokers: cluster.ListenAddrs(), SASL: mechanism("secret")}
	require.NoError(t, check(t, cfg, patience))
	sink := newSink(t, cfg)
	for id := range int64(2) {
		got := newAnswers()
		session, err := sink.Open(t.Context(), got.ack)
		require.NoError(t, err)
		r := record(id, "orders", "k", nil)
		session.Deliver(t.Context(), []*relay.Record{r})
		require.NoError(t, got.wait(t, r)[0])
		session.Close()
	}
}

// Hazard stale-metadata.
// A changed password says nothing about the records. They wait, or fail as in any outage.
func TestFailedAuthenticationIsAnOutage(t *testing.T) {
	cluster := fakeKafka(
		t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "relay", "secret"), kfake.SeedTopics(1, "orders"),
	)
	sink := newSink(t, relaykafka.Config{
		Brokers: cluster.ListenAddrs(), UnknownTopicAfter: 50 * time.Millisecond,
		SASL: []sasl.Mechanism{plain.Auth{User: "relay", Pass: "old"}.AsMechanism()},
	})
	got := newAnswers()
	session, err := sink.Open(t.Context(), got.ack)
	require.NoError(t, err)
	r := record(1, "orders", "k", nil)
	tried := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.SASLAuthenticate}, Observe: true, Count: -1})
	session.Deliver(t.Context(), []*relay.Record{r})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, tried.Wait(ctx, 5))
	session.Close()
	err = got.wait(t, r)[0]
	require.Error(t, err)
	require.NotErrorIs(t, err, relay.ErrRejected)
}

func TestTLSIsUsed(t *testing.T) {
	certificate, authority := dbtest.SelfSigned(t)
	cluster := fakeKafka(t, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{certificate}}))
	cfg := relaykafka.Config{Brokers: cluster.ListenAddrs()}
	require.Error(t, check(t, cfg, patience), "without TLS")
	cfg.TLS = new(tls.Config)
	require.ErrorContains(t, check(t, cfg, patience), "certificate", "not trusted")
	cfg.TLS = &tls.Config{RootCAs: x509.NewCertPool()}
	require.True(t, cfg.TLS.RootCAs.AppendCertsFromPEM(authority))
	require.NoError(t, check(t, cfg, patience))
}
