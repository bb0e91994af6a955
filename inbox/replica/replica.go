package replica

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/internal/db"
	store "github.com/postroom/postroom/internal/store/replica"
)

// Errors of New and Apply, for errors.Is. Apply returns them before it writes anything.
var (
	ErrConfig  = errors.New("the configuration of the replica is wrong")
	ErrVersion = errors.New("no valid version: the source must give each change of a row a number above 0 that grows")
	ErrValues  = errors.New("the values do not fit the declared columns")
)

// Config declares a replica. Names consist of a-z, 0-9 and _, and are quoted in statements.
type Config struct {
	// Name identifies the replica in Postroom's tables: 1 to 100 bytes. A replica with a new name knows no versions.
	// Default: Table, or Schema.Table if Schema is set.
	Name string
	// Table is the replica's table. Only the replica may write to it. It must exist, with a unique index on exactly the
	// columns of Key and no other unique index: when events overtake one another, two rows may have the same values for
	// a while. With a second unique index the statement would fail, and the message would be parked.
	Table string
	// Schema is the schema of Table, on PostgreSQL. Default: the connection's search_path.
	Schema string
	// Key lists the columns of the table's primary key, or of another unique key: integers or text, together at most
	// 500 bytes. Keys are compared by their bytes, so on MySQL text needs a collation _bin. Apply checks this once.
	Key []string
	// Columns lists the other columns that the replica writes.
	Columns []string
	// Times lists those of Key and Columns whose JSON strings are times in RFC 3339.
	Times []string
	// Bytes lists those of Columns whose JSON strings are base64.
	Bytes []string
	// JSON lists those of Columns whose values are always stored as JSON text, strings included. A nil is NULL, and
	// bytes that are valid JSON are stored unchanged. In other columns only maps, slices and structs become JSON.
	JSON []string
	// TablePrefix and TablesSchema say where Postroom's own tables are.
	TablePrefix, TablesSchema string
}

// Change is a version of a row, its deletion, or the end marker of a backfill.
type Change struct {
	// Version is the source's number for this state of the row: above 0, and higher than that of every earlier state,
	// deletions included.
	Version int64
	// Deleted says that the row was deleted. Then Values needs only the key.
	Deleted bool
	// Values has a value for each column of Key and Columns. A missing column is an error, because it is not NULL.
	// Values of other columns are ignored.
	Values map[string]any
	// RunID is the backfill that sent the change, or empty. A change of a backfill overwrites a row of the same
	// version, which repairs damage, but not a tombstone.
	RunID string
	// Partial says that a partial backfill sent the change: it overwrites like one with RunID, and is not counted.
	Partial bool
	// End is set for the end marker of the backfill RunID. Such a change has no other fields.
	End *End
}

// Result counts what Apply did with the changes.
type Result struct {
	Applied int // rows that were inserted or overwritten, also by a backfill
	Deleted int // deletions that passed the gate
	Stale   int // duplicates, and versions that are not above the known one
}

// Replica writes one table. It is safe for concurrent use.
type Replica struct {
	store   *store.Store
	dialect inbox.Dialect
	c       Config
	times   map[string]bool
	bytes   map[string]bool
	json    map[string]bool
	checked atomic.Pointer[store.Key] // MySQL: set when the table was found to be right
}

// New checks c and returns a Replica. It does not use the database.
func New(d inbox.Dialect, c Config) (*Replica, error) {
	if c.Name == "" {
		c.Name = c.Table
		if c.Schema != "" {
			c.Name = c.Schema + "." + c.Table // tables of one name in two schemas are two replicas
		}
	}
	if err := c.check(d); err != nil {
		return nil, fmt.Errorf("replica %q: %w", c.Name, err)
	}
	store, err := store.New(db.Names{Dialect: d, Prefix: c.TablePrefix, Schema: c.TablesSchema},
		store.Table{Replica: c.Name, Schema: c.Schema, Table: c.Table, Key: c.Key, Columns: c.Columns})
	if err != nil {
		return nil, fmt.Errorf("replica %q: %w", c.Name, err)
	}
	return &Replica{store: store, dialect: d, c: c, times: set(c.Times), bytes: set(c.Bytes), json: set(c.JSON)}, nil
}

func set(names []string) map[string]bool {
	all := make(map[string]bool, len(names))
	for _, name := range names {
		all[name] = true
	}
	return all
}

func (c Config) check(d inbox.Dialect) error {
	columns := slices.Concat(c.Key, c.Columns)
	switch {
	case c.Table == "" || len(c.Key) == 0:
		return fmt.Errorf("%w: Table and Key are required", ErrConfig)
	case len(c.Name) > inbox.MaxConsumer:
		return fmt.Errorf("%w: Name has %d bytes, at most %d are allowed", ErrConfig, len(c.Name), inbox.MaxConsumer)
	case c.Schema != "" && d != inbox.PostgreSQL:
		return fmt.Errorf("%w: only PostgreSQL has schemas", ErrConfig)
	}
	for _, name := range append(slices.Clone(columns), c.Table) {
		if !db.ValidIdentifier(name) {
			return fmt.Errorf("%w: name %q: want at most 63 of a-z, 0-9 and _, not starting with a digit", ErrConfig,
				name)
		}
	}
	if c.Schema != "" && !db.ValidIdentifier(c.Schema) {
		return fmt.Errorf("%w: schema %q: want at most 63 of a-z, 0-9 and _, not starting with a digit", ErrConfig,
			c.Schema)
	}
	slices.Sort(columns)
	if len(slices.Compact(slices.Clone(columns))) != len(columns) {
		return fmt.Errorf("%w: Key and Columns name a column twice", ErrConfig)
	}
	for _, name := range slices.Concat(c.Times, c.Bytes, c.JSON) {
		if !slices.Contains(columns, name) {
			return fmt.Errorf("%w: Times, Bytes or JSON names %q, which is not in Key or Columns", ErrConfig, name)
		}
	}
	return nil
}

// Apply writes the newest version of each row in changes to the table, in tx. Changes of one key may come in any order
// and any number of times. If two different changes have the same version, the source has a bug. The one that arrives
// first stays.
//
// Apply returns ErrVersion and ErrValues before it writes anything. On MySQL it also returns ErrConfig, if the table
// has a unique index besides that of the key, has none for the key, or treats different keys as equal. It checks the
// table until it is right, and then never again.
//
// After an error of the database, roll back. After a deadlock or a lock timeout, inbox calls the handler again.
func (r *Replica) Apply(ctx context.Context, tx inbox.Tx, changes ...Change) (Result, error) {
	rows, runs, ends, err := r.reduce(changes)
	if err != nil {
		return Result{}, fmt.Errorf("replica %q: %w", r.c.Name, err)
	}
	result, err := r.apply(ctx, tx, rows, runs, ends)
	if err != nil {
		return Result{}, fmt.Errorf("replica %q: write %s: %w%s", r.c.Name, r.c.Table, err, advice.Of(err))
	}
	result.Stale = len(changes) - len(ends) - result.Applied - result.Deleted
	return result, nil
}

func (r *Replica) apply(ctx context.Context, tx inbox.Tx, rows []store.Change, runs []string,
	ends []store.End) (result Result, err error) {
	if err := r.checkTable(ctx, tx, rows); err != nil {
		return result, err
	}
	for _, run := range runs {
		if err := r.store.Hear(ctx, tx, run); err != nil {
			return result, err
		}
	}
	for _, end := range ends {
		if err := r.store.End(ctx, tx, end); err != nil {
			return result, err
		}
	}
	if len(rows) == 0 {
		return result, nil
	}
	won, err := r.store.Claim(ctx, tx, rows)
	if err != nil {
		return result, err
	}
	var upserts, deletions []store.Change
	for _, row := range rows {
		switch {
		case !won[row.RowKey]:
		case row.Deleted:
			deletions = append(deletions, row)
		default:
			upserts = append(upserts, row)
		}
	}
	// Deletions come first: a new row may have a unique value of a deleted one.
	if err := r.store.Delete(ctx, tx, deletions); err != nil {
		return result, err
	}
	if err := r.store.Upsert(ctx, tx, upserts); err != nil {
		return result, err
	}
	return Result{Applied: len(upserts), Deleted: len(deletions)}, nil
}

// Check returns an error if the table does not exist, has not all columns, has no unique index on the key, or may not
// be written, and on MySQL the ErrConfig of Apply. Call it at start. Otherwise Apply finds the mistake, as an error of
// each message, and each message is parked.
func (r *Replica) Check(ctx context.Context, db *sql.DB) error {
	err := r.store.CheckTable(ctx, db)
	if err == nil {
		err = r.checkKey(ctx, db)
	}
	if err != nil {
		return fmt.Errorf("replica %q: table %s: %w%s", r.c.Name, r.c.Table, err, advice.Of(err))
	}
	return nil
}

// checkKey fails for a table in which MySQL would write to the wrong row.
func (r *Replica) checkKey(ctx context.Context, q db.Queryer) error {
	if r.dialect != inbox.MySQL || r.checked.Load() != nil {
		return nil
	}
	key, err := r.store.CheckKey(ctx, q)
	if err != nil || key == nil {
		return err
	}
	if key.Wrong != "" {
		return fmt.Errorf("%w: %s", ErrConfig, key.Wrong)
	}
	r.checked.Store(key)
	return nil
}

// checkTable fails for rows that MySQL would write over another row.
func (r *Replica) checkTable(ctx context.Context, tx inbox.Tx, rows []store.Change) error {
	if r.dialect != inbox.MySQL || len(rows) == 0 {
		return nil
	}
	if err := r.checkKey(ctx, tx); err != nil {
		return err
	}
	key := r.checked.Load()
	if key == nil {
		return nil // the table does not exist, and the next statement fails for it
	}
	for _, row := range rows {
		for i, v := range row.Key {
			if text, ok := v.(string); ok && key.Pads[i] && strings.HasSuffix(text, " ") {
				return fmt.Errorf("%w: key %q ends in a space, which the table's column %s ignores: give it a "+
					"collation that does not pad (_nopad_bin, utf8mb4_0900_bin), or make it "+
					"varbinary", ErrValues, row.RowKey, r.c.Key[i])
			}
		}
	}
	return nil
}

// reduce keeps the newest change of each key. The rows are sorted by key, so that transactions with common keys lock
// them in the same order and cannot deadlock. If the dropped change was of a backfill, the kept one gets its run.
func (r *Replica) reduce(changes []Change) (rows []store.Change, runs []string, ends []store.End,
	err error) {
	at := make(map[string]int, len(changes))
	heard := map[string]bool{}
	for _, c := range changes {
		if c.RunID != "" && !heard[c.RunID] {
			heard[c.RunID] = true
			runs = append(runs, c.RunID)
		}
		if c.End != nil {
			ends = append(ends, store.End{RunID: c.RunID, Sent: c.End.Sent, Started: c.End.Started})
			continue
		}
		row, err := r.row(c)
		if err != nil {
			return nil, nil, nil, err
		}
		i, known := at[row.RowKey]
		if !known {
			at[row.RowKey] = len(rows)
			rows = append(rows, row)
			continue
		}
		run := max(rows[i].RunID, row.RunID)
		switch {
		case row.Version > rows[i].Version:
			rows[i] = row
		case row.Version == rows[i].Version: // the same content
			rows[i].Again = rows[i].Again || row.Again
		}
		rows[i].RunID = run
	}
	slices.Sort(runs)
	slices.SortFunc(rows, func(a, b store.Change) int { return cmp.Compare(a.RowKey, b.RowKey) })
	return rows, runs, ends, nil
}

// advice is appended to the errors of the database.
var advice = db.Advice{
	New:          "replica.New",
	MissingTable: "create the replica's own table, and Postroom's tables with `relay migrate up --only inbox`",
	Denied: "the consumer's database user needs SELECT, INSERT, UPDATE and DELETE on the replica's table, " +
		"inbox_replica_rows and inbox_replica_runs",
}

var _ inbox.Tx = (*sql.Tx)(nil)
