package replica

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/postroom/postroom/internal/db"
)

// Stream is the result of a query, read row by row. The memory does not grow with the
// number of rows.
type Stream struct {
	*sql.Rows
	Names []string // of the columns
	Types []string // the database's own names of their types; SQLite: as declared
	stmt  *sql.Stmt
}

// Close ends the query.
func (s *Stream) Close() error {
	err := s.Rows.Close()
	if s.stmt != nil {
		err = errors.Join(err, s.stmt.Close())
	}
	return err
}

// OpenStream begins to read a query.
//
// On MySQL the statement is prepared. Then values are sent in binary form, and a FLOAT keeps
// the digits that it loses as text. On other databases it is not prepared, because that
// needs the same server connection for several round trips, and poolers do not give it.
func OpenStream(ctx context.Context, pool *sql.DB, d db.Dialect, query string) (*Stream, error) {
	s := &Stream{}
	var err error
	if d == db.MySQL {
		if s.stmt, err = pool.PrepareContext(ctx, query); err != nil {
			return nil, err
		}
		s.Rows, err = s.stmt.QueryContext(ctx)
	} else {
		s.Rows, err = pool.QueryContext(ctx, query)
	}
	if err != nil {
		if s.stmt != nil {
			_ = s.stmt.Close() // the query's error says more
		}
		return nil, err
	}
	types, err := s.ColumnTypes()
	if err != nil {
		_ = s.Close()
		return nil, err
	}
	for _, t := range types {
		s.Names = append(s.Names, t.Name())
		s.Types = append(s.Types, t.DatabaseTypeName())
	}
	return s, nil
}

// CompareTable is the query of a replica's table; all names must be valid.
func CompareTable(d db.Dialect, schema, table string, columns []string) string {
	return "SELECT " + quoteAll(d, columns) + " FROM " + db.Names{Dialect: d, Schema: schema}.Table(table)
}

// CompareQuery returns a query for the named columns of a query, or for all.
func CompareQuery(d db.Dialect, query string, columns []string) string {
	list := "*"
	if len(columns) > 0 {
		list = quoteAll(d, columns)
	}
	query = strings.TrimRight(query, "; \t\r\n")
	// This is on a new line, because the query may end with a comment.
	return "SELECT " + list + " FROM (" + query + "\n) AS postroom_compare"
}

// NoRows changes a query so that it returns its columns and no rows.
func NoRows(query string) string { return query + " WHERE 1 = 0" }

func quoteAll(d db.Dialect, columns []string) string {
	quoted := make([]string, len(columns))
	for i, c := range columns {
		quoted[i] = db.Names{Dialect: d}.Quote(c)
	}
	return strings.Join(quoted, ", ")
}
