package migrations

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	sqldb "github.com/postroom/postroom/internal/db"
)

// Diagnose explains why a statement did not find a table. It returns Check's error. If that is nil, it
// returns an ErrTableGone that names the tables which are recorded as applied and do not exist, and where
// their statements are. It returns nil if all recorded tables exist, or cannot be read.
func Diagnose(ctx context.Context, db *sql.DB, d Dialect, o Options) error {
	if err := Check(ctx, db, d, o); err != nil {
		return err
	}
	p, err := newPlan(d, o)
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	rows, err := Status(ctx, db, d, o)
	if err != nil {
		return err
	}
	var gone []string
	for _, row := range rows {
		for _, table := range row.Tables {
			if row.Applied && p.gone(ctx, db, table) {
				gone = append(gone, row.Gone(p.names.Plain(table)))
			}
		}
	}
	if len(gone) == 0 {
		return nil
	}
	return p.unusable(ErrTableGone, nil, fmt.Sprintf(
		"%s; `relay migrate up` does not make it again: run its statements of `relay migrate print%s`",
		strings.Join(gone, ", "), p.flags))
}

// gone reports whether a table does not exist. A table that this user may not read exists.
func (p *plan) gone(ctx context.Context, db *sql.DB, table string) bool {
	rows, err := db.QueryContext(ctx, "SELECT 1 FROM "+p.names.Table(table)+" WHERE 1 = 0")
	if err == nil {
		err = rows.Close()
	}
	return sqldb.IsMissingTable(err)
}

// Gone returns a message that a table of an applied migration does not exist.
func (r StatusRow) Gone(table string) string {
	return fmt.Sprintf("%s is not there, although %s is recorded as applied", table, r.File)
}
