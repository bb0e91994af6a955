package conformance

import (
	"testing"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
)

// scenario is one thing that must hold on every installation.
type scenario struct {
	name string
	run  func(w *world)
	// writers: it needs two transactions that write at the same time, which SQLite
	// does not have: there the interleaving does not exist.
	writers bool
	// long: it takes seconds, and no statement that others do not send too. It is left
	// out where only the names of the tables differ.
	long bool
}

func scenarios() []scenario {
	var all []scenario
	for _, group := range [][]scenario{
		orderScenarios, gapScenarios, restoreScenarios, leaseScenarios, failureScenarios, valueScenarios,
		boundScenarios, startScenarios,
	} {
		all = append(all, group...)
	}
	return all
}

func TestInstallations(t *testing.T) {
	t.Cleanup(func() { // after the parallel subtests
		for d, recorder := range recorders {
			compareStatements(t, "statements", d, recorder.Statements())
		}
	})
	for _, server := range []struct {
		name   string
		fresh  func(testing.TB) dbtest.Database
		prefix string
		schema string
	}{
		{"postgresql15", dbtest.PostgreSQL, "", ""},
		{"postgresql15 with prefix and schema", dbtest.PostgreSQL, "acme_", "post"},
		{"postgresql18", dbtest.PostgreSQL18, "", ""},
		{"postgresql18 with prefix and schema", dbtest.PostgreSQL18, "acme_", "post"},
		{"pgbouncer", dbtest.PgBouncer, "", ""},
		{"mariadb", dbtest.MariaDB, "", ""},
		{"mariadb with prefix", dbtest.MariaDB, "acme_", ""},
		{"sqlite", dbtest.SQLite, "", ""},
		{"sqlite with prefix", dbtest.SQLite, "acme_", ""},
	} {
		t.Run(server.name, func(t *testing.T) {
			t.Parallel()
			in := install(t, server.fresh(t), server.prefix, server.schema)
			for _, s := range scenarios() {
				if s.writers && in.db.Dialect == db.SQLite || s.long && server.prefix != "" {
					continue
				}
				t.Run(s.name, func(t *testing.T) { s.run(newWorld(t, in)) })
			}
		})
	}
}
