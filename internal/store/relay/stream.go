package relay

import (
	"context"
	"database/sql"
	"time"

	"github.com/postroom/postroom/internal/db"
)

// stream is the answer to a statement whose rows may be more than the caller takes: how
// large they are is known only when they are here.
type stream struct {
	*sql.Rows
	cancel context.CancelFunc
	local  bool // no server sends anything
}

// restWithin is for how long a stream that was left takes in the rows that the server
// still sends, to keep the connection. Past it the connection is given up, which ends the
// statement on the server as well: a new one costs some milliseconds, and the rest may be
// 5,000 rows of 16 MiB.
const restWithin = 200 * time.Millisecond

func (c *conn) stream(ctx context.Context, statement string, args ...any) (*stream, error) {
	ctx, cancel := context.WithCancel(ctx)
	rows, err := c.pool.QueryContext(ctx, statement, args...)
	if err != nil {
		cancel()
		return nil, err
	}
	return &stream{Rows: rows, cancel: cancel, local: c.names.Dialect == db.SQLite}, nil
}

// leave ends a statement of which the rows that are left are not wanted. The rows are
// passed over one by one, because go-sql-driver does not heed a context while it closes.
func (s *stream) leave() error {
	defer s.cancel()
	if s.local {
		return s.Close()
	}
	giveUp := time.AfterFunc(restWithin, s.cancel)
	for s.Next() {
	}
	if err := s.Close(); giveUp.Stop() {
		return err
	}
	return nil // the error is that of the connection that was given up
}
