package watermillamqp

import (
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
)

func TestAWrongConfigurationNamesTheField(t *testing.T) {
	const ok = "amqp://127.0.0.1:1"
	for _, wrong := range []struct {
		name string
		cfg  Config
		says string
	}{
		{"no URL", Config{}, "Config.URL"},
		{"another scheme", Config{URL: "http://user:geheim@host"}, "Config.URL: it does not begin with amqp://"},
		{"no URL at all", Config{URL: "amqp://user:geheim@host:port"}, "Config.URL: it is no AMQP URL"},
		{"a port that cannot be", Config{URL: "amqp://user:geheim@host:70000"}, "Config.URL: it is no AMQP URL"},
		{"a password with a slash", Config{URL: "amqp://user:12/34geheim@host/v"}, "URL: it has an @ behind the host"},
		{"a password with a question mark", Config{URL: "amqp://user:1?geheim@host"}, "it has an @ behind the host"},
		{"little time", Config{URL: ok, ConfirmTimeout: time.Millisecond}, "Config.ConfirmTimeout"},
		{"many channels", Config{URL: ok, Channels: 257}, "Config.Channels"},
		{"lanes", Config{URL: ok, Lanes: -1}, "Lanes"},
	} {
		t.Run(wrong.name, func(t *testing.T) {
			_, err := New(wrong.cfg)
			require.ErrorContains(t, err, wrong.says)
			require.NotContains(t, err.Error(), "geheim")
		})
	}
}

func TestTheAddressHasNoPassword(t *testing.T) {
	for url, want := range map[string]string{
		"amqp://user:geheim@host":                         "amqp://host:5672",
		"amqps://user:geheim@host/shop?cacertfile=ca.pem": "amqps://host:5671/shop",
		"amqp://user:geheim@[::1]:5673/%2f":               "amqp://[::1]:5673",
	} {
		got, err := Address(url)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

func TestCheckSaysWhatIsWrong(t *testing.T) {
	uri, err := amqp091.ParseURI(dbtest.AMQP(t))
	require.NoError(t, err)
	right := uri.Password
	require.NoError(t, newSink(t, Config{URL: uri.String()}).Check(t.Context()))

	uri.Vhost = "nowhere"
	err = newSink(t, Config{URL: uri.String()}).Check(t.Context())
	require.ErrorContains(t, err, "/nowhere cannot be used")
	require.ErrorContains(t, err, "check the vhost")
	require.NotContains(t, err.Error(), right)

	uri.Vhost, uri.Password = "/", "geheim"
	err = newSink(t, Config{URL: uri.String()}).Check(t.Context())
	require.ErrorContains(t, err, "check user and password")
	require.NotContains(t, err.Error(), "geheim")

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	nobody := listener.Addr().String()
	require.NoError(t, listener.Close())
	err = newSink(t, Config{URL: "amqp://u:geheim@" + nobody}).Check(t.Context())
	require.ErrorContains(t, err, nobody)
	require.ErrorContains(t, err, "check the address")
	require.NotContains(t, err.Error(), "geheim")
}

// The library reports a connection that breaks in the handshake as a wrong password or vhost. A broker that got a
// wrong password closes the connection. So if the connection ends there, the password or the network may be the cause.
func TestCheckSaysWhatIsKnownAboutAHandshakeThatBreaks(t *testing.T) {
	network := newProxy(t)
	for _, at := range []struct {
		method uint16 // the broker's answer that does not arrive
		breaks func()
		says   string
		not    []string
	}{
		{methodTune, network.cut, "check user and password in the URL; if they are right", []string{"not allowed"}},
		{methodTune, network.reset, "check user and password in the URL; if they are right", []string{"not allowed"}},
		{methodConnectionOpenOK, network.cut, "broke in the handshake", []string{"password", "vhost"}},
		{methodConnectionOpenOK, network.reset, "broke in the handshake", []string{"password", "vhost"}},
	} {
		network.breaksAt(classConnection, at.method, at.breaks)
		err := newSink(t, Config{URL: network.url}).Check(t.Context())
		require.ErrorContains(t, err, at.says)
		require.ErrorContains(t, err, "no connection")
		for _, not := range at.not {
			require.NotContains(t, err.Error(), not)
		}
	}
	network.answers(nil)
	require.NoError(t, newSink(t, Config{URL: network.url}).Check(t.Context()))

	silent := &socket{}
	silent.broken.Store(&os.ErrDeadlineExceeded)
	err := silent.handshakeError(t.Context(), amqp091.ErrCredentials)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded, "no answer in time")
}

// TLS announces its end, so that the socket itself never fails.
func TestCheckTellsAWrongLoginOverTLS(t *testing.T) {
	network := newProxy(t)
	_, trusting := network.useTLS(t)
	network.breaksAt(classConnection, methodTune, network.cut)
	err := newSink(t, Config{URL: trusting}).Check(t.Context())
	require.ErrorContains(t, err, "check user and password in the URL; if")
}

// The broker's certificate is verified: with amqps a wrong one is an error, and nothing is sent.
func TestACertificateIsVerified(t *testing.T) {
	network := newProxy(t)
	url, trusting := network.useTLS(t)
	require.ErrorContains(t, newSink(t, Config{URL: url}).Check(t.Context()), "certificate")
	topic := newFar(t).fanout(t)
	sink := newSink(t, Config{URL: trusting})
	require.NoError(t, deliver(t, sink, record(1, topic, "k", nil))[0])
}

// useTLS has the proxy talk TLS with a certificate of its own. The second URL trusts it.
func (p *proxy) useTLS(t *testing.T) (url, trusting string) {
	t.Helper()
	certificate, pem := dbtest.SelfSigned(t)
	p.mu.Lock()
	p.tls = &tls.Config{Certificates: []tls.Certificate{certificate}}
	p.mu.Unlock()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, pem, 0o600))
	url = strings.Replace(p.url, "amqp://", "amqps://", 1)
	return url, url + "?cacertfile=" + ca
}
