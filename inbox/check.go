package inbox

import (
	"context"
	"database/sql"
	"fmt"
)

// Check reads from the tables that the inbox needs, and so tells at start what would
// fail with the first message: tables that are missing (the error names `relay migrate
// up`), rights that are not granted, another dialect, daily partitions in one and not in
// the other (ErrLayout). It writes nothing.
func (ib *Inbox) Check(ctx context.Context, db *sql.DB) error {
	for _, table := range ib.tables {
		rows, err := db.QueryContext(ctx, "SELECT consumer FROM "+table+" WHERE 1 = 0")
		if err == nil {
			err = rows.Close()
		}
		if err != nil {
			return fmt.Errorf("inbox: read %s for consumer %q: %w%s", table, ib.consumer, err, hint(err))
		}
	}
	return ib.checkLayout(ctx, db)
}
