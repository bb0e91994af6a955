package faultdb_test

import (
	"database/sql"
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/faultdb"
)

func TestFaults(t *testing.T) {
	errOwn := errors.New("own")
	cases := []struct {
		name      string
		statement string
		fault     faultdb.Fault
		want      error
		rows      int // in the table afterwards
	}{
		{"without a fault the transaction commits", "", faultdb.Fault{}, nil, 1},
		{"a lost request does not commit", faultdb.Commit, faultdb.LoseRequest(), io.ErrUnexpectedEOF, 0},
		{"a lost answer has committed", faultdb.Commit, faultdb.LoseAnswer(), io.ErrUnexpectedEOF, 1},
		{"a failure of the statement is the error given", "INSERT INTO t VALUES (1)", faultdb.Fail(errOwn), errOwn, 0},
		{
			"a connection lost in a transaction rolls it back", "INSERT INTO t VALUES (1)", faultdb.LoseAnswer(),
			io.ErrUnexpectedEOF, 0,
		},
		{"a lost begin", faultdb.Begin, faultdb.LoseRequest(), io.ErrUnexpectedEOF, 0},
	}
	dbtest.Each(t, func(t *testing.T, db dbtest.Database) {
		_, err := db.DB.ExecContext(t.Context(), "CREATE TABLE t (n int)")
		require.NoError(t, err)
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				faulty := faultdb.Open(db.DB, func(statement string) faultdb.Fault {
					if statement == c.statement {
						return c.fault
					}
					return faultdb.Fault{}
				})
				defer faulty.Close()
				require.ErrorIs(t, insert(t, faulty), c.want)

				var rows int
				require.NoError(t, db.DB.QueryRowContext(t.Context(), "SELECT count(*) FROM t").Scan(&rows))
				require.Equal(t, c.rows, rows)
				_, err := db.DB.ExecContext(t.Context(), "DELETE FROM t")
				require.NoError(t, err)
			})
		}
	})
}

func insert(t *testing.T, db *sql.DB) error {
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(t.Context(), "INSERT INTO t VALUES (1)"); err != nil {
		return err
	}
	return tx.Commit()
}
