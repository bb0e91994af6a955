package config

import (
	"crypto/x509"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

// The file of docs/operations.md is loaded as it stands there, apart from where its files are.
func TestTheFileOfTheDocsIsCompleteAndLoads(t *testing.T) {
	page, err := os.ReadFile("../../docs/operations.md")
	require.NoError(t, err)
	_, section, _ := strings.Cut(string(page), "## The configuration file\n")
	_, section, _ = strings.Cut(section, "```yaml\n")
	text, _, ok := strings.Cut(section, "```")
	require.True(t, ok)

	folder := t.TempDir()
	put := func(name, content string) {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600))
	}
	put("shop-url", "postgres://relay@db/shop")
	put("billing-url", "postgres://billing@db/billing")
	put("kafka", "secret")
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	key, err := x509.MarshalPKCS8PrivateKey(server.TLS.Certificates[0].PrivateKey)
	require.NoError(t, err)
	certificate := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	put("ca.pem", certificate)
	put("relay.pem", certificate)
	put("relay.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
	put("relay.yaml", strings.NewReplacer("/run/secrets/", folder+"/", "/etc/postroom/", folder+"/").Replace(text))

	full := loaded(t, "POSTROOM_CONFIG="+filepath.Join(folder, "relay.yaml"))
	require.NoError(t, full.CheckRun())
	require.NoError(t, full.CheckInbox())
	require.Empty(t, full.Warnings)
	// A file has one sink: RabbitMQ's is in the next block.
	_, section, _ = strings.Cut(section, "```yaml\n")
	text, _, ok = strings.Cut(section, "```")
	require.True(t, ok)
	put("rabbitmq-url", "amqps://relay:secret@rabbitmq/shop")
	put("rabbitmq.yaml", strings.ReplaceAll(text, "/run/secrets/", folder+"/"))
	rabbitmq := loaded(
		t, "POSTROOM_DATABASE_URL=sqlite:a.db", "POSTROOM_CONFIG="+filepath.Join(folder, "rabbitmq.yaml"),
	)
	require.NoError(t, rabbitmq.CheckRun())
	require.Empty(t, rabbitmq.Warnings)
	for _, s := range settings() {
		_, here := full.origins[s.key]
		_, there := rabbitmq.origins[s.key]
		require.True(t, here || there || s.hidden, "docs/operations.md does not show %s", s.key)
	}
	// What is said to be a default there is one.
	least := loaded(t, "POSTROOM_DATABASE_URL=sqlite:a.db", "POSTROOM_KAFKA_BROKERS=k:9092")
	want := least.Delivery
	want.Topics, want.Archive, want.ArchiveFor = []string{
		"orders", "audit.*",
	}, true, 7*24*time.Hour // 0 there: relay's default, this
	require.Equal(t, want, full.Delivery)
	require.Equal(t, least.Log, full.Log)
	require.Equal(t, least.Sink.Kafka.CreateTopics, full.Sink.Kafka.CreateTopics)
}

func loaded(t *testing.T, environ ...string) *Config {
	t.Helper()
	flags := pflag.NewFlagSet("run", pflag.ContinueOnError)
	AddFlags(flags, General, Database, Broker, Running, Consuming, Examining)
	c, err := Load(flags, environ)
	require.NoError(t, err)
	return c
}
