package inbox

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/postroom/postroom/internal/dialect"
)

// Check reads from the tables that the inbox needs, and so tells at start what would
// fail with the first message: tables that are missing (the error names `relay migrate
// up`), rights that are not granted, another dialect, daily partitions in one and not in
// the other (ErrLayout). It writes nothing.
//
// Tables of the release before pass: what they lack is off until `relay migrate up`, and is
// logged as a warning. CheckOffsets checks what ClaimPartition needs.
func (ib *Inbox) Check(ctx context.Context, db *sql.DB) error {
	for _, table := range ib.tables {
		if err := ib.readable(ctx, db, table); err != nil {
			return err
		}
	}
	if err := ib.CheckOffsets(ctx, db); err != nil && (dialect.IsMissingTable(err) || dialect.IsDenied(err)) {
		ib.log.Warn("inbox: offsets cannot be kept in the database; everything else works", "error", err)
	} else if err != nil {
		return err
	}
	return ib.checkLayout(ctx, db)
}

// CheckOffsets is Check for a consumer that calls ClaimPartition: it reads from the table of offsets alone.
func (ib *Inbox) CheckOffsets(ctx context.Context, db *sql.DB) error {
	return ib.readable(ctx, db, ib.names.Table(dialect.InboxOffsets))
}

func (ib *Inbox) readable(ctx context.Context, db *sql.DB, table string) error {
	rows, err := db.QueryContext(ctx, "SELECT consumer FROM "+table+" WHERE 1 = 0")
	if err == nil {
		err = rows.Close()
	}
	if err != nil {
		return fmt.Errorf("inbox: read %s for consumer %q: %w%s", table, ib.consumer, err, hint(err))
	}
	return nil
}
