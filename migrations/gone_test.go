package migrations_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/migrations"
)

// Check reads only the record, which does not change when a table is dropped.
func TestDiagnoseNamesATableThatIsGone(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db dbtest.Database) {
		diagnose := func(o migrations.Options) error { return migrations.Diagnose(t.Context(), db.DB, db.Dialect, o) }
		require.ErrorIs(t, diagnose(migrations.Options{}), migrations.ErrNotMigrated)
		apply(t, db, migrations.Options{Prefix: "eu_"})
		require.NoError(t, diagnose(migrations.Options{Prefix: "eu_"}))

		exec(t, db.DB, "DROP TABLE eu_inbox_attempts")
		require.NoError(t, migrations.Check(t.Context(), db.DB, db.Dialect, migrations.Options{Prefix: "eu_"}))
		require.NoError(t, diagnose(migrations.Options{Prefix: "eu_", Only: migrations.OutboxOnly}))
		err := diagnose(migrations.Options{Prefix: "eu_", Only: migrations.InboxOnly})
		require.ErrorIs(t, err, migrations.ErrTableGone)
		require.ErrorContains(
			t, err, "eu_inbox_attempts is not there, although 00002_inbox.sql is recorded as applied;",
		)
		require.True(t, strings.HasSuffix(err.Error(), "`relay migrate print --table-prefix eu_ --only inbox`"), err)

		exec(t, db.DB, "DELETE FROM eu_postroom_schema WHERE version = 2")
		err = diagnose(migrations.Options{Prefix: "eu_", Only: migrations.InboxOnly})
		require.NotErrorIs(t, err, migrations.ErrTableGone, "Apply makes it")
	})
}
