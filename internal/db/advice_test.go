package db_test

import (
	"database/sql"
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/db"
)

type postgresError string

func (e postgresError) Error() string    { return "refused: " + string(e) }
func (e postgresError) SQLState() string { return string(e) }

func TestAnErrorBecomesTheAdviceOfItsClass(t *testing.T) {
	own := db.Advice{New: "inbox.New", MissingTable: "make the tables", Denied: "grant SELECT",
		TxDone: "add before Commit"}
	for want, err := range map[string]error{
		" (" + db.NothingListens + ")": syscall.ECONNREFUSED,
		" (make the tables)":           postgresError("42P01"),
		" (grant SELECT)":              postgresError("42501"),
		" (add before Commit)":         sql.ErrTxDone,
		"inbox.New was given?)":        postgresError("42601"),
		"default_query_exec_mode":      postgresError("26000"),
	} {
		require.Contains(t, own.Of(fmt.Errorf("read: %w", err)), want)
	}
	for _, err := range []error{nil, errors.New("other"), postgresError("23505")} {
		require.Empty(t, own.Of(err))
	}
	for _, err := range []error{sql.ErrTxDone, postgresError("42P01"), postgresError("42501"), postgresError("42601")} {
		require.Empty(t, db.Advice{}.Of(err), "a subject without advice: %v", err)
	}
}
