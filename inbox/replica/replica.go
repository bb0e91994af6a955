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

// Errors of New and Apply, found with errors.Is. Those of Apply come before it writes.
var (
	ErrConfig  = errors.New("the replica cannot be declared so")
	ErrVersion = errors.New("no version: the source must give each change of a row a number above 0 that grows")
	ErrValues  = errors.New("the values do not fit the declared columns")
)

// Config declares a replica. Names are of a-z, 0-9 and _, and are quoted.
type Config struct {
	// Name is the replica's in Postroom's tables: 1 to 100 bytes. Renaming it forgets
	// all versions. Default: Table, with Schema before it and a dot if that is given.
	Name string
	// Table is written by the replica alone. It must be there, with a unique index on
	// exactly the columns of Key and no other unique index: two rows may have the same
	// values for a while, when events overtake one another, and the message would be parked.
	Table string
	// Schema is the table's, on PostgreSQL. Default: the connection's search_path.
	Schema string
	// Key are the columns of its primary key, or of a unique one: integers or text,
	// together at most 500 bytes. Keys are told apart by their bytes, so on MySQL text has
	// a collation _bin, and the table is looked at once: see Apply.
	Key []string
	// Columns are the others that are written.
	Columns []string
	// Times are those of Key and Columns whose JSON strings are times in RFC 3339.
	Times []string
	// Bytes are those of Columns whose JSON strings are base64.
	Bytes []string
	// JSON are those of Columns whose values are stored as JSON text whatever they are,
	// strings included; a nil is NULL, and bytes that are JSON are stored as they are. Other
	// columns take maps, slices and structs so.
	JSON []string
	// TablePrefix and TablesSchema say where Postroom's own tables are.
	TablePrefix, TablesSchema string
}

// Change is a version of a row, its deletion, or what a backfill says at its end.
type Change struct {
	// Version is the source's own number for this state of the row: above 0, and
	// higher than that of every earlier state, deletions included.
	Version int64
	// Deleted says that the row is gone; Values has its key then.
	Deleted bool
	// Values are those of the key's columns and of all others. A column that is
	// missing is an error: the source did not send NULL. Others are ignored.
	Values map[string]any
	// RunID is the backfill that sent it; empty: none. It is written again over the row
	// of the same version, which mends damage, unless that is a tombstone.
	RunID string
	// Partial says that a partial backfill sent it: written again like RunID's rows, and
	// not counted.
	Partial bool
	// End is set for the end marker of the backfill RunID; nothing else is then.
	End *End
}

// Result says what became of changes.
type Result struct {
	Applied int // rows inserted or overwritten, those that a backfill wrote again too
	Deleted int // deletions let through
	Stale   int // copies, and versions not above the one that is known
}

// Replica writes one table. It is safe for use by many goroutines.
type Replica struct {
	store   *store.Store
	dialect inbox.Dialect
	c       Config
	times   map[string]bool
	bytes   map[string]bool
	json    map[string]bool
	checked atomic.Pointer[store.Key] // MySQL: the table was found right
}

// New returns the replica that c declares. It does not talk to the database.
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
		return fmt.Errorf("%w: it needs a table and its key", ErrConfig)
	case len(c.Name) > inbox.MaxConsumer:
		return fmt.Errorf("%w: a name of %d bytes, at most %d", ErrConfig, len(c.Name), inbox.MaxConsumer)
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
		return fmt.Errorf("%w: schema %q", ErrConfig, c.Schema)
	}
	slices.Sort(columns)
	if len(slices.Compact(slices.Clone(columns))) != len(columns) {
		return fmt.Errorf("%w: a column is named twice", ErrConfig)
	}
	for _, name := range slices.Concat(c.Times, c.Bytes, c.JSON) {
		if !slices.Contains(columns, name) {
			return fmt.Errorf("%w: %q is no declared column", ErrConfig, name)
		}
	}
	return nil
}

// Apply brings the table to the newest version of each row in changes, inside tx.
// Changes of one key may come in any order and any number of copies. Of two different
// changes with the same version the first to arrive stays: that is a mistake of the
// source's.
//
// ErrVersion and ErrValues come before anything is written. So does ErrConfig, on MySQL
// alone: the table has another unique index than the key's, or none, or takes different
// keys for the same. That is looked up until it is found right, once per Replica.
//
// After an error of the database roll back; a deadlock or a lock timeout is nobody's
// fault, and inbox repeats it by itself.
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
	// Deletions first: a row may have a value that another one gave up.
	if err := r.store.Delete(ctx, tx, deletions); err != nil {
		return result, err
	}
	if err := r.store.Upsert(ctx, tx, upserts); err != nil {
		return result, err
	}
	return Result{Applied: len(upserts), Deleted: len(deletions)}, nil
}

// Check asks whether the replica can be kept in its table: that this is there with its
// columns and a unique index of its key, and may be written, and on MySQL what Apply asks of
// it (ErrConfig). Call it at start: found out by Apply, it is an error of each message,
// and parks one after another.
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

// checkKey refuses a table in which MySQL would write into the wrong row.
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

// checkTable refuses what MySQL would write into the wrong row.
func (r *Replica) checkTable(ctx context.Context, tx inbox.Tx, rows []store.Change) error {
	if r.dialect != inbox.MySQL || len(rows) == 0 {
		return nil
	}
	if err := r.checkKey(ctx, tx); err != nil {
		return err
	}
	key := r.checked.Load()
	if key == nil {
		return nil // there is no such table: the statement that needs it says so
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

// reduce keeps the newest change of each key, sorted: transactions that share keys wait
// for one another in one order, and not in a circle. What is dropped still tells which
// backfill had the key.
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

// advice is what the errors of the database end with.
var advice = db.Advice{
	New:          "replica.New",
	MissingTable: "create the replica's own table, and Postroom's tables with `relay migrate up --only inbox`",
	Denied: "the consumer's database user needs SELECT, INSERT, UPDATE and DELETE on the replica's table, " +
		"inbox_replica_rows and inbox_replica_runs",
}

var _ inbox.Tx = (*sql.Tx)(nil)
