package db

import (
	"context"
	"database/sql"
)

// Querier runs queries: a *sql.DB, *sql.Conn or *sql.Tx.
type Querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// Each runs a query and calls scan for every row. It returns the first error: of the query, of scan,
// or of the rows.
func Each(ctx context.Context, q Querier, scan func(*sql.Rows) error, query string, args ...any) error {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Rows runs a query and returns its rows, each as a T. columns lists where the columns of a row
// go, as in Scan. Rows returns nil when there is no row.
func Rows[T any](ctx context.Context, q Querier, columns func(*T) []any, query string, args ...any) ([]T, error) {
	var all []T
	err := Each(ctx, q, func(rows *sql.Rows) error {
		var row T
		if err := rows.Scan(columns(&row)...); err != nil {
			return err
		}
		all = append(all, row)
		return nil
	}, query, args...)
	if err != nil {
		return nil, err
	}
	return all, nil
}

// Affected is how many rows a statement changed, for the two results of Exec.
func Affected(result sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}
