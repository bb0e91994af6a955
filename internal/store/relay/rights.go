package relay

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/postroom/postroom/internal/db"
)

// checkRights fails if the user may not read or delete events, because a relay that may not delete would
// publish every event again at each start. It also fails if the user may not park, because the source would
// stop at the first rejected event. The statements name no row, and do not walk over deleted ones. SQLite is
// not checked: it has no users, and a delete would wait for a writer.
func (c *conn) checkRights(ctx context.Context) error {
	if c.names.Dialect == db.SQLite {
		return nil
	}
	e := Events{c}
	if _, err := e.Read(ctx, ReadQuery{Head: math.MaxInt64, Limit: 1}, func(*Row) bool { return false }); err != nil {
		return err
	}
	if _, err := e.deleteEvents(ctx, c.pool, Lease{}, []Event{{}}); err != nil {
		return err
	}
	server := c.sql.server
	for _, statement := range []string{server.CheckParkInsert, server.CheckParkUpdate, server.CheckParkDelete} {
		if _, err := c.pool.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("cannot park rows: %w", err)
		}
	}
	return nil
}

// checkArchive fails if the archive does not exist, or if the user may not write, read or purge it. The
// statements name no row.
func (c *conn) checkArchive(ctx context.Context) error {
	both := []string{c.sql.server.CheckArchiveDelete, c.sql.server.CheckArchiveInsert}
	var errs []error
	for _, statement := range db.For(c.names.Dialect, both, both, []string{c.sql.sqlite.CheckArchive}) {
		_, err := c.pool.ExecContext(ctx, statement)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
