package dbopen

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"

	"modernc.org/sqlite"

	sqldb "github.com/postroom/postroom/internal/db"
)

func openSQLite(ctx context.Context, u *parsedURL, o options) (*Target, error) {
	where := "sqlite file " + u.path
	if o.mustExist {
		if _, err := os.Stat(u.path); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf(
				"%s: %w: check the path; relay migrate up, with the flags of this command, makes a new database",
				where, fs.ErrNotExist,
			)
		}
	}
	connector, err := sqlite.NewConnector(sqliteDSN(u.path, o.asIs))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	db := sql.OpenDB(connector)
	if err := ping(ctx, db, where, ConnectTimeout); err != nil {
		_ = db.Close()
		return nil, err
	}
	return &Target{DB: db, Dialect: sqldb.SQLite, Redacted: where}, nil
}

// sqliteDSN asks for what the guarantee needs: WAL, so that readers and the writer do
// not wait for each other; FULL, so that a commit survives a power cut in WAL too;
// IMMEDIATE, so that a transaction takes the write lock when it begins instead of
// failing halfway; a timeout, so that writers queue.
func sqliteDSN(path string, asIs bool) string {
	q := url.Values{
		"_busy_timeout": {"10000"}, // ms
		"_journal_mode": {"WAL"},
		"_synchronous":  {"FULL"},
		"_foreign_keys": {"on"},
		"_txlock":       {"immediate"},
		"_time_format":  {"sqlite"},
		"_timezone":     {"UTC"},
		"_error_rc":     {"true"}, // "unable to open database file" instead of "out of memory"
	}
	if asIs {
		q.Del("_journal_mode")
	}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
}
