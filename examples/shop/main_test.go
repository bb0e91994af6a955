package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/postroom/postroom/examples/shop/kit/kittest"
	"github.com/postroom/postroom/examples/shop/world"
)

func TestMain(m *testing.M) {
	// A package that Watermill's Kafka imports starts this goroutine, and never ends it.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"))
}

// start runs the command until the test ends, and returns what it prints.
func start(t *testing.T, environment map[string]string, args ...string) *bufio.Scanner {
	t.Helper()
	printed, out := io.Pipe()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, args, func(name string) string { return environment[name] }, out)
		_ = out.CloseWithError(io.EOF)
		ended <- err
	}()
	t.Cleanup(func() {
		stop()
		_, _ = io.Copy(io.Discard, printed) // a write to the pipe waits for its reader
		require.NoError(t, <-ended)
		http.DefaultClient.CloseIdleConnections()
	})
	return bufio.NewScanner(printed)
}

func requireProblem(t *testing.T, url string, status int) {
	t.Helper()
	response, err := http.Get(url)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	require.Equal(t, status, response.StatusCode)
	require.Equal(t, "application/problem+json", response.Header.Get("Content-Type"))
}

// The README's one command.
func TestTheShopRunsWithoutAnyServer(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	require.Contains(t, string(readme), "\ngo run ./examples/shop\n")

	lines := start(t, nil, "-listen", "127.0.0.1:0")
	address := regexp.MustCompile(`^(\w+) +(http://\S+)$`)
	found := map[string]string{}
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "The shop is open") {
		if m := address.FindStringSubmatch(lines.Text()); m != nil {
			found[m[1]] = m[2]
		}
	}
	require.Len(t, found, len(world.Services()))
	requireProblem(t, found["customers"]+"/customers/nobody", http.StatusNotFound)
	requireProblem(t, found["stock"]+"/items/pen", http.StatusNotFound)
}

// One service, as a process.
func TestAServiceRunsAlone(t *testing.T) {
	kafka := kittest.Kafka(t)
	lines := start(t, map[string]string{
		"SHOP_DATABASE_URL": kittest.SQLite(t), "SHOP_KAFKA_BROKERS": strings.Join(kafka.Brokers, ","),
		"SHOP_PREFIX": kafka.Prefix, "SHOP_LISTEN": "127.0.0.1:0",
	}, "stock")
	require.True(t, lines.Scan())
	_, address, found := strings.Cut(lines.Text(), "stock ")
	require.True(t, found, lines.Text())
	requireProblem(t, address+"/items/pen", http.StatusNotFound)
}

// It trusts everybody who reaches it, so that an address that was forgotten must not mean all of the network.
func TestAServiceWithoutAnAddressListensOnThisMachineAlone(t *testing.T) {
	kafka := kittest.Kafka(t)
	lines := start(t, map[string]string{
		"SHOP_DATABASE_URL": kittest.SQLite(t), "SHOP_KAFKA_BROKERS": strings.Join(kafka.Brokers, ","),
		"SHOP_PREFIX": kafka.Prefix,
	}, "stock")
	require.True(t, lines.Scan())
	require.Contains(t, lines.Text(), "http://127.0.0.1:")
}

func TestAWrongCommandSaysWhatIsRight(t *testing.T) {
	for _, tc := range []struct {
		says string
		args []string
	}{
		{"want one of [customers", []string{"warehouse"}},
		{"is too much", []string{"-alone", "stock"}},
		{"flag provided but not defined", []string{"-kafka"}},
		{"must be sqlite:PATH", []string{"stock"}},
	} {
		err := run(t.Context(), tc.args, func(string) string { return "" }, io.Discard)
		require.ErrorContains(t, err, tc.says)
	}
	err := run(t.Context(), []string{"relays"}, func(string) string { return "postgres://u:secret@h/d" }, io.Discard)
	require.ErrorContains(t, err, "SHOP_SOURCES")
	require.NotContains(t, err.Error(), "secret")
}

func TestTheUsageHasNoPassword(t *testing.T) {
	var usage strings.Builder
	_, err := parse([]string{"-help"}, func(string) string { return "postgres://u:secret@h/d" }, &usage)
	require.Error(t, err)
	require.NotContains(t, usage.String(), "secret")
	require.Contains(t, usage.String(), "POSTROOM_TEST_POSTGRES_URL")
}
