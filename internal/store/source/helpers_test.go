package source_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	sqldb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/store/source"
)

func sourceOf(t *testing.T, db dbtest.Database) *source.Store {
	t.Helper()
	s, err := source.New(db.DB, sqldb.Names{Dialect: db.Dialect})
	require.NoError(t, err)
	return s
}
