package relay

import (
	"context"
	"database/sql"
	"time"

	"github.com/postroom/postroom/internal/db"
)

// stream reads the answer to a statement that may have more rows than the caller takes. The caller cannot ask
// for the right number, because the size of a row is known only when the row has arrived.
type stream struct {
	*sql.Rows
	cancel context.CancelFunc
	local  bool // there is no server that sends rows
}

// restWithin is how long leave reads the rows that the server still sends, to keep the connection. After that
// it closes the connection, which also ends the statement on the server. A new connection costs some
// milliseconds, but the remaining rows may be 5,000 rows of 16 MiB.
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

// leave ends a statement whose remaining rows are not needed. It reads them one by one, because go-sql-driver
// ignores the context while it closes rows.
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
	return nil // an error here only says that the connection is closed
}
