package db_test

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/db"
)

func files(text string) fstest.MapFS { return fstest.MapFS{"postgres.sql": {Data: []byte(text)}} }

var names = db.Names{Dialect: db.PostgreSQL, Prefix: "acme_"}

func TestLoadFillsAFieldFromTheBlockOfItsName(t *testing.T) {
	var shared struct{ Delete string }
	var own struct{ Count string }
	require.NoError(t, db.Load(files(`-- What the file is for.

-- name: Delete
-- The reason.
DELETE FROM {outbox_events}
WHERE id = $1 -- this comment is sent
  {{Fence}}

-- name: Count
SELECT count(*) FROM {outbox_events}

-- A comment on what follows, here and above the next block, belongs to no statement.

-- part: Fence
-- Why.
AND EXISTS (SELECT 1 FROM {outbox_leases} WHERE {{Owner}})

-- part: Owner
owner = $2
-- The end.
`), names, &shared, &own))
	require.Equal(t, `DELETE FROM "acme_outbox_events"
WHERE id = $1 -- this comment is sent
  AND EXISTS (SELECT 1 FROM "acme_outbox_leases" WHERE owner = $2)`, shared.Delete)
	require.Equal(t, `SELECT count(*) FROM "acme_outbox_events"`, own.Count)
}

func TestLoadNamesEverythingThatDoesNotFit(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"a field without a statement": {"", "postgres.sql: Delete: no statement has this name"},
		"a statement without a field": {
			"-- name: Delete\nx\n-- name: Insert\nx", "postgres.sql: Insert: no field has this name",
		},
		"a part that nobody includes": {
			"-- name: Delete\nx\n-- part: Fence\nx", "postgres.sql: the part Fence is not used",
		},
		"a part that is not there": {
			"-- name: Delete\n{{Fence}}", "postgres.sql: Delete: the part Fence is unknown, or includes itself",
		},
		"a part that includes itself": {
			"-- name: Delete\n{{A}}\n-- part: A\n{{B}}\n-- part: B\n{{A}}",
			"postgres.sql: Delete: the part A is unknown, or includes itself",
		},
		"a name that is there twice": {
			"-- name: Delete\nx\n-- name: Delete\ny", "postgres.sql: name Delete is there twice",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var into struct{ Delete string }
			require.EqualError(t, db.Load(files(c.text), names, &into), c.want)
		})
	}
}

func TestLoadReadsTheFileOfTheDialect(t *testing.T) {
	err := db.Load(files(""), db.Names{Dialect: db.MySQL}, &struct{}{})
	require.ErrorContains(t, err, "mysql.sql")
	require.Error(t, db.Load(files(""), db.Names{Dialect: "oracle"}, &struct{}{}))
	require.Panics(t, func() { db.For(db.Dialect("oracle"), 1, 2, 3) })
}
