package cli

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbopen"
)

var update = flag.Bool("update", false, "write what was found as the new golden files")

// requireGolden compares got with a file in testdata, or writes the file.
func requireGolden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
		return
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	if string(want) != got {
		t.Errorf("%s is a promise to users and their scripts, and it changed:\n\n%s\nIf the change is meant, type\n\n"+
			"\tgo test ./internal/cli -run Golden -update\n\nand commit the file with it.",
			file, diff.Diff(file, want, "now", []byte(got)))
	}
}

// verbs calls do for every command, with its words after relay.
func verbs(cmd *cobra.Command, words []string, do func(cmd *cobra.Command, words []string)) {
	do(cmd, words)
	for _, c := range cmd.Commands() {
		verbs(c, append(slices.Clone(words), c.Name()), do)
	}
}

func TestGoldenHelp(t *testing.T) {
	var all strings.Builder
	verbs(newRoot(&Env{}), nil, func(_ *cobra.Command, words []string) {
		var out bytes.Buffer
		require.Zero(t, Main(Env{Args: append(words, "--help"), Stdout: &out, Stderr: &out}))
		fmt.Fprintf(&all, "=== %s --help\n%s\n", strings.Join(append([]string{"relay"}, words...), " "), out.String())
	})
	requireGolden(t, "help.txt", all.String())
}

// onlyPostgreSQL are verbs whose JSON has no place in the golden file: they need PostgreSQL.
var onlyPostgreSQL = []string{"inbox partition", "inbox prune"}

// Every verb that prints JSON is run on SQLite, and the keys and types of its output are compared, because
// scripts depend on them. Values are not compared. The elements of a list are compared as one.
func TestGoldenJSON(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	shop := "sqlite://" + filepath.Join(dir, "shop.db")
	customers := file("customers.sql", "SELECT id, name FROM customers")
	backfill := file("backfill.sql", "SELECT id, 'c' AS topic, '' AS event_key, '' AS event_type, '{}' AS payload "+
		"FROM customers")
	var all strings.Builder
	covered := map[string]bool{}
	run := func(verb string, args ...string) {
		var out, problems bytes.Buffer
		words := append(append(strings.Fields(verb), args...), "--json")
		env := []string{"POSTROOM_DATABASE_URL=" + shop, "POSTROOM_INBOX_DATABASE_URL=" + shop,
			"POSTROOM_KAFKA_BROKERS=127.0.0.1:1"}
		code := Main(Env{Args: words, Environ: env, Stdout: &out, Stderr: &problems})
		var v any
		require.NoError(t, json.Unmarshal(out.Bytes(), &v), "relay %s: %s%s", verb, out.String(), problems.String())
		fmt.Fprintf(&all, "=== relay %s --json: exit code %d\n%s\n", verb, code, shapeOf(v))
		covered[verb] = true
	}

	run("version")
	run("demo", "--orders", "20")
	run("migrate print")
	run("migrate up")
	run("migrate status")
	fill(t, shop)
	run("status")
	run("source list")
	run("parked list")
	run("parked show", "1", "--payload")
	run("parked retry", "1")
	run("parked drop", "1", "--reason", "a test")
	run("scheduled list")
	run("scheduled cancel", "018f3c1e-8f2a-7000-8000-000000000003", "018f3c1e-8f2a-7000-8000-000000000009")
	run("trace", "018f3c1e-8f2a-7000-8000-000000000005")
	run("replay", "--topic", "orders", "--dry-run")
	run("prune", "--archive-older-than", "1h", "--dry-run")
	run("doctor", "--timeout", "100ms")
	run("inbox status")
	run("inbox doctor")
	run("inbox parked list")
	run("inbox parked show", "1", "--payload")
	run("inbox parked retry", "1")
	run("inbox parked drop", "1", "--reason", "a test")
	run("compare", "--table", "customers", "--key", "id", "--query-file", customers, "--wait", "1ms")
	run("backfill", "--name", "customers", "--position", "id", "--query-file", backfill)

	requireGolden(t, "json.txt", all.String())
	verbs(newRoot(&Env{}), nil, func(cmd *cobra.Command, words []string) {
		verb := strings.Join(words, " ")
		if cmd.Flags().Lookup(jsonFlag) != nil && !slices.Contains(onlyPostgreSQL, verb) {
			require.True(t, covered[verb], "relay %s has --json: add run(%q) to TestGoldenJSON", verb, verb)
		}
	})
}

// fill adds a row to each table of an outbox and an inbox.
func fill(t *testing.T, url string) {
	t.Helper()
	target, err := dbopen.Open(t.Context(), url)
	require.NoError(t, err)
	defer func() { require.NoError(t, target.DB.Close()) }()
	for _, statement := range []string{
		`INSERT INTO outbox_events (topic) VALUES ('orders')`,
		`INSERT INTO outbox_parked (id, event_id, topic, event_key, event_type, payload, headers, created_at,
		attempts, error,
		state) VALUES (1, '018f3c1e-8f2a-7000-8000-000000000005', 'orders', 'k', 'placed', x'31', '{"tenant": "t1"}',
		'2026-01-02T03:04:05.000006Z', 1, 'no', 'failed')`,
		`INSERT INTO outbox_scheduled (event_id, topic, event_key, payload, deliver_at)
		VALUES ('018f3c1e-8f2a-7000-8000-000000000003', 'orders', 'k', x'31', '2100-01-01T00:00:00.000000Z')`,
		`INSERT INTO outbox_archive (id, event_id, topic, event_type, headers, created_at, kafka_partition,
		kafka_offset,
		delivered_at) VALUES (9, '018f3c1e-8f2a-7000-8000-000000000005', 'orders', '', '{}',
		'2026-01-02T03:04:05.000006Z', 3,
		4711, '2026-01-02T03:04:05.000006Z')`,
		`INSERT INTO inbox_events (consumer, message_id, kafka_topic, kafka_partition, kafka_offset)
		VALUES ('billing', '018f3c1e-8f2a-7000-8000-000000000005', 'orders', 3, 42)`,
		`INSERT INTO inbox_parked (consumer, message_id, topic, event_key, headers, payload, kafka_topic,
		kafka_partition,
		kafka_offset, error, state) VALUES ('billing', 'm1', 'orders', 'k', '{"tenant": "t1"}', x'31', 'orders', 3,
		42, 'no',
		'failed')`,
		`INSERT INTO inbox_blocked (consumer, topic, event_key) VALUES ('billing', 'orders', 'k')`,
		`INSERT INTO inbox_attempts (consumer, message_id, attempts) VALUES ('billing', 'c', 2)`,
		`INSERT INTO inbox_offsets (consumer, kafka_topic, kafka_partition, next_offset, epoch)
		VALUES ('billing', 'orders', 3, 42, 7)`,
		`INSERT INTO inbox_offsets (consumer, kafka_topic, kafka_partition, epoch, kafka_group, topic_id,
		applied_offset)
		VALUES ('billing', 'orders', 5, 0, 'invoices', 'koiaaUEpR6q0SYURT_ZiKQ', 4711)`,
		`INSERT INTO inbox_replica_runs (replica, run_id) VALUES ('customers', 'run-1')`,
		`CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT)`,
		`INSERT INTO customers VALUES (1, 'a')`,
	} {
		_, err := target.DB.ExecContext(t.Context(), statement)
		require.NoError(t, err, statement)
	}
}

// shapeOf writes a line for every path of a JSON value, such as [].oldest_event.id, with the types at that
// path.
func shapeOf(v any) string {
	types := map[string]map[string]bool{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		add := func(kind string) {
			if types[path] == nil {
				types[path] = map[string]bool{}
			}
			types[path][kind] = true
		}
		switch v := v.(type) {
		case map[string]any:
			add("object")
			for key, value := range v {
				walk(strings.TrimPrefix(path+"."+key, "."), value)
			}
		case []any:
			add("list")
			for _, value := range v {
				walk(path+"[]", value)
			}
		case nil:
			add("null")
		case string:
			add("string")
		case float64:
			add("number")
		case bool:
			add("bool")
		}
	}
	walk("", v)
	var out strings.Builder
	for _, path := range slices.Sorted(maps.Keys(types)) {
		fmt.Fprintln(&out, strings.TrimSpace(path+" "+strings.Join(slices.Sorted(maps.Keys(types[path])), "|")))
	}
	return out.String()
}
