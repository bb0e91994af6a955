package dbopen_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbopen"
	"github.com/postroom/postroom/internal/dbtest"
)

// Every verb opens the database here, so that migrate, run and doctor refuse alike.
func TestADatabaseThatIsNotUTF8IsRefusedByName(t *testing.T) {
	admin := dbtest.PostgreSQL(t)
	for _, encoding := range []string{"LATIN1", "SQL_ASCII"} {
		t.Run(encoding, func(t *testing.T) {
			u, err := url.Parse(admin.URL)
			require.NoError(t, err)
			name := strings.TrimPrefix(u.Path, "/") + "_" + strings.ToLower(encoding)
			_, err = admin.DB.Exec(
				"CREATE DATABASE " + name + " ENCODING '" + encoding +
					"' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0",
			)
			require.NoError(t, err)
			t.Cleanup(func() { _, _ = admin.DB.Exec("DROP DATABASE " + name + " WITH (FORCE)") })
			u.Path = "/" + name
			for _, parameter := range []string{"", "&client_encoding=UTF8", "&client_encoding=" + encoding} {
				_, err = dbopen.Open(t.Context(), u.String()+parameter)
				require.ErrorContains(t, err, "encoding is "+encoding+", and Postroom needs UTF8")
				require.ErrorContains(t, err, "CREATE DATABASE")
			}
		})
	}
}

// The clients of a database may speak another encoding by default: ours does not.
func TestTextIsReadAsUTF8WhateverTheDefault(t *testing.T) {
	db := dbtest.PostgreSQL(t)
	var name string
	require.NoError(t, db.DB.QueryRow("SELECT current_database()").Scan(&name))
	_, err := db.DB.Exec("ALTER DATABASE " + name + " SET client_encoding = 'LATIN1'")
	require.NoError(t, err)
	target, err := dbopen.Open(t.Context(), db.URL)
	require.NoError(t, err)
	defer target.DB.Close()
	var text string
	require.NoError(t, target.DB.QueryRow("SELECT 'Ω€'").Scan(&text))
	require.Equal(t, "Ω€", text)
}
