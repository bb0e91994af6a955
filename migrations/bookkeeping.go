package migrations

import (
	"fmt"
	"time"

	"github.com/postroom/postroom/internal/db"
)

// These are the default names of the two tables for bookkeeping.
const (
	versionTable = "postroom_schema"
	lockTable    = "postroom_schema_lock"
)

// bookkeeping has the SQL around the files: which are applied, and which process applies them.
//
// The statements contain values instead of placeholders. The values are numbers, names of our own files and
// hexadecimal ids. For a statement without arguments pgx uses the simple protocol in Exec, which leaves no
// prepared statement behind in pgbouncer.
type bookkeeping struct {
	names          db.Names
	createVersions string
	listVersions   string // version, name, applied_at as RFC 3339 text
	createLock     string
	insertLock     string
	now            string // the database's clock
	after          func(time.Duration) string
}

func newBookkeeping(names db.Names) bookkeeping {
	b := bookkeepingOf(names.Dialect)
	b.names = names
	for _, s := range []*string{&b.createVersions, &b.listVersions, &b.createLock, &b.insertLock} {
		*s = names.Expand(*s)
	}
	return b
}

func bookkeepingOf(d Dialect) bookkeeping {
	return db.For(d, postgresBookkeeping, mysqlBookkeeping, sqliteBookkeeping)()
}

func postgresBookkeeping() bookkeeping {
	return bookkeeping{
		createVersions: `CREATE TABLE IF NOT EXISTS {postroom_schema} (
    version    bigint      PRIMARY KEY,
    name       text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
)`,
		listVersions: `SELECT version, name, to_char(applied_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') ` +
			`FROM {postroom_schema} ORDER BY version`,
		createLock: `CREATE TABLE IF NOT EXISTS {postroom_schema_lock} (
    id         smallint    PRIMARY KEY CHECK (id = 1),
    owner      text,
    expires_at timestamptz
)`,
		insertLock: `INSERT INTO {postroom_schema_lock} (id) VALUES (1) ON CONFLICT (id) DO NOTHING`,
		now:        `clock_timestamp()`,
		after: func(d time.Duration) string {
			return fmt.Sprintf(`clock_timestamp() + interval '%d microseconds'`, d.Microseconds())
		},
	}
}

func mysqlBookkeeping() bookkeeping {
	return bookkeeping{
		createVersions: `CREATE TABLE IF NOT EXISTS {postroom_schema} (
    version    bigint       NOT NULL PRIMARY KEY,
    name       varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    applied_at datetime(6)  NOT NULL DEFAULT (utc_timestamp(6))
) ENGINE = InnoDB`,
		// It is read as text, because a driver without parseTime returns bytes for a datetime.
		listVersions: `SELECT version, name, date_format(applied_at, '%Y-%m-%dT%H:%i:%s.%fZ') ` +
			`FROM {postroom_schema} ORDER BY version`,
		createLock: `CREATE TABLE IF NOT EXISTS {postroom_schema_lock} (
    id         smallint     NOT NULL PRIMARY KEY,
    owner      varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
    expires_at datetime(6)  NULL
) ENGINE = InnoDB`,
		insertLock: `INSERT IGNORE INTO {postroom_schema_lock} (id) VALUES (1)`,
		now:        `utc_timestamp(6)`,
		after: func(d time.Duration) string {
			return fmt.Sprintf(`utc_timestamp(6) + INTERVAL %d MICROSECOND`, d.Microseconds())
		},
	}
}

func sqliteBookkeeping() bookkeeping {
	return bookkeeping{
		createVersions: `CREATE TABLE IF NOT EXISTS {postroom_schema} (
    version    INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    applied_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z')
)`,
		listVersions: `SELECT version, name, applied_at FROM {postroom_schema} ORDER BY version`,
		createLock: `CREATE TABLE IF NOT EXISTS {postroom_schema_lock} (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    owner      TEXT,
    expires_at TEXT
)`,
		insertLock: `INSERT OR IGNORE INTO {postroom_schema_lock} (id) VALUES (1)`,
		now:        `strftime('%Y-%m-%dT%H:%M:%f', 'now')`,
		after: func(d time.Duration) string {
			return fmt.Sprintf(`strftime('%%Y-%%m-%%dT%%H:%%M:%%f', 'now', '+%.3f seconds')`, d.Seconds())
		},
	}
}

// insertVersion records a file.
func (b bookkeeping) insertVersion(version int64, name string) string {
	return b.names.Expand(fmt.Sprintf(`INSERT INTO {postroom_schema} (version, name) VALUES (%d, '%s')`, version, name))
}

// record returns the SQL that follows a printed file.
func (b bookkeeping) record(f file) string {
	return "-- Tells Postroom that the tables above are there.\n" +
		b.createVersions + ";\n\n" + b.insertVersion(f.version, f.name) + ";\n"
}
