package deptest

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/postroom/postroom"

// dependencies lists what a build of the package needs beyond the standard library.
func dependencies(t *testing.T, pkg string) []string {
	t.Helper()
	return list(t, "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", module+pkg)
}

func list(t *testing.T, args ...string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list"}, args...)...)
	cmd.Dir = "../.."
	var problems strings.Builder
	cmd.Stderr = &problems
	out, err := cmd.Output()
	require.NoError(t, err, "go list %v: %s", args, problems.String())
	return strings.Fields(string(out))
}

func within(path string, roots ...string) bool {
	for _, root := range roots {
		if path == root || strings.HasPrefix(path, root+"/") {
			return true
		}
	}
	return false
}

// A service that only writes or only reads events builds nothing of Kafka, Watermill,
// gorm or telemetry, and brings the driver of its own choice.
func TestTheCorePackagesImportAlmostNothing(t *testing.T) {
	for pkg, allowed := range map[string][]string{
		"/outbox": {module + "/outbox", module + "/internal/kafkatopic",
			module + "/internal/store/outbox", module + "/internal/db", "github.com/google/uuid"},
		"/inbox": {module + "/inbox", module + "/outbox", module + "/internal/kafkatopic",
			module + "/internal/store/inbox", module + "/internal/store/outbox", module + "/internal/db",
			"github.com/google/uuid"},
		"/relay": {module + "/relay",
			module + "/internal/store/relay", module + "/internal/db", "github.com/google/uuid"},
	} {
		t.Run(pkg, func(t *testing.T) {
			deps := dependencies(t, pkg)
			require.Contains(t, deps, module+pkg)
			for _, dep := range deps {
				if within(dep, module+pkg+"/internal") {
					continue // a part of the package; what it imports is among the dependencies too
				}
				require.Contains(t, allowed, dep, "the core packages need the standard library and google/uuid alone")
			}
		})
	}
}

// A subject's statements can be understood, and changed, without those of another.
func TestNoSubjectOfTheStoreImportsAnother(t *testing.T) {
	subjects := list(t, "-f", "{{.ImportPath}}", "./internal/store/...")
	require.NotEmpty(t, subjects)
	for _, subject := range subjects {
		for _, dep := range dependencies(t, strings.TrimPrefix(subject, module)) {
			allowed := dep == subject || dep == module+"/internal/db" || !within(dep, module)
			require.True(
				t, allowed, "%s imports %s: a subject imports internal/db and no other package of ours", subject, dep,
			)
		}
	}
}

// What an adapter must not bring into a program that uses it for something else.
func TestEachAdapterBringsItsOwnLibraryAlone(t *testing.T) {
	const (
		watermill = "github.com/ThreeDotsLabs/watermill"
		gorm      = "gorm.io"
		franz     = "github.com/twmb/franz-go"
		pgx       = "github.com/jackc/pgx"
		sarama    = "github.com/IBM/sarama"
		rabbit    = "github.com/rabbitmq"
		otel      = "go.opentelemetry.io"
		prom      = "github.com/prometheus"
		testify   = "github.com/stretchr"
	)
	for pkg, refused := range map[string]map[string]string{
		"/outbox/outboxgorm": {
			watermill: "gorm's users need no Watermill", franz: "writers need no Kafka",
			pgx:  "the driver is the user's choice",
			otel: "telemetry stands outside", prom: "telemetry stands outside",
		},
		"/outbox/outboxpgx": {
			watermill: "pgx's users need no Watermill", gorm: "pgx's users need no gorm",
			franz: "writers need no Kafka",
			otel:  "telemetry stands outside", prom: "telemetry stands outside",
			"github.com/jackc/pgx/v5/stdlib": "it registers a database/sql driver",
		},
		"/outbox/outboxwatermill": {
			gorm: "Watermill's users need no gorm", franz: "writers need no Kafka", sarama: "writers need no Kafka",
			pgx: "the driver is the user's choice", otel: "telemetry stands outside", prom: "telemetry stands outside",
		},
		"/inbox/inboxwatermill": {
			gorm: "Watermill's users need no gorm", franz: "the subscriber is the user's choice",
			sarama: "the subscriber is the user's choice",
			rabbit: "the subscriber is the user's choice", pgx: "the driver is the user's choice",
			otel: "telemetry stands outside", prom: "telemetry stands outside",
		},
		"/inbox/inboxkafka": {
			watermill: "franz-go's users need no Watermill", gorm: "franz-go's users need no gorm",
			sarama: "one Kafka client is enough",
			pgx:    "the driver is the user's choice", otel: "telemetry stands outside",
			prom: "telemetry stands outside",
		},
		"/outbox/outboxtest": {
			watermill: "a test helper of the outbox alone", gorm: "a test helper of the outbox alone",
			franz:   "a test helper of the outbox alone",
			testify: "users choose their own test library",
		},
		"/migrations": {
			watermill: "migrations are SQL and goose", gorm: "migrations are SQL and goose",
			franz: "migrations are SQL and goose",
		},
	} {
		t.Run(pkg, func(t *testing.T) {
			for _, dep := range dependencies(t, pkg) {
				for root, reason := range refused {
					require.False(t, within(dep, root), "%s imports %s: %s", pkg, dep, reason)
				}
			}
		})
	}
}

// drivers register themselves with database/sql; two that take one name panic together.
var drivers = []string{
	"github.com/jackc/pgx/v5/stdlib", "github.com/lib/pq", "github.com/go-sql-driver/mysql",
	"modernc.org/sqlite", "github.com/glebarez", "github.com/mattn/go-sqlite3", "gorm.io/driver",
}

func TestNoLibraryPackageImportsADatabaseDriver(t *testing.T) {
	libraries := 0
	for _, pkg := range list(t, "-f", "{{if ne .Name \"main\"}}{{.ImportPath}}{{end}}", "./...") {
		path := strings.TrimPrefix(pkg, module)
		if within(path, "/internal", "/cmd", "/examples", "/rigs") {
			continue // programs, and what only they and tests can import
		}
		libraries++
		t.Run(path, func(t *testing.T) {
			for _, dep := range dependencies(t, path) {
				require.False(
					t, within(dep, drivers...),
					"%s brings the driver %s: the user chooses the driver, once per binary", path, dep,
				)
			}
		})
	}
	require.GreaterOrEqual(t, libraries, 8)
}

// The rules above find something where there is something.
func TestTheRulesSeeAnImport(t *testing.T) {
	require.Contains(t, dependencies(t, "/internal/dbopen"), "github.com/go-sql-driver/mysql")
	require.True(t, within("modernc.org/sqlite/lib", drivers...))
	require.False(t, within("modernc.org/sqlitex", drivers...))
}

// Rigs drive the product from outside. What a shipped package needs from one belongs below internal.
func TestNothingShippedImportsARig(t *testing.T) {
	for _, line := range list(
		t, "-deps", "-f", `{{.ImportPath}}`, "./cmd/...", "./outbox/...", "./inbox/...", "./relay/...",
		"./migrations/...", "./examples/...",
	) {
		require.False(t, within(line, module+"/rigs"), "%s is a rig: no shipped package may import it", line)
	}
}
