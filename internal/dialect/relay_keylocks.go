package dialect

import (
	"context"
	"database/sql"
	"slices"
)

// tryLockKeys takes the locks of keys that are free, without waiting, and reports which
// keys it has: for writers that hold what others wait for.
func tryLockKeys(ctx context.Context, tx *sql.Tx, n Names, keys []EventKey) (func(EventKey) bool, error) {
	var query string
	var args []any
	switch {
	case n.Dialect == SQLite || len(keys) == 0:
		return func(EventKey) bool { return true }, nil
	case n.Dialect == PostgreSQL:
		query, args = tryAdvisoryLocks, []any{intsArray(n.LockNumbers(keys))}
	default:
		query = n.Expand("SELECT slot FROM {outbox_key_locks} FORCE INDEX (PRIMARY) WHERE slot IN (" +
			intsList(n.LockNumbers(keys)) + ") FOR UPDATE SKIP LOCKED")
	}
	locked, err := queryInts(ctx, tx, query, args...)
	if err != nil {
		return nil, err
	}
	slices.Sort(locked)
	return func(k EventKey) bool {
		_, found := slices.BinarySearch(locked, n.LockNumber(k))
		return found
	}, nil
}

const tryAdvisoryLocks = `SELECT number
FROM (SELECT unnest($1::text::bigint[]) AS number OFFSET 0) AS numbers WHERE pg_try_advisory_xact_lock(number)`
