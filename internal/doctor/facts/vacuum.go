package facts

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/postroom/postroom/internal/db"
)

// Vacuum describes the dead rows of outbox_events, and what prevents the database from removing them.
type Vacuum struct {
	// These are for PostgreSQL.
	Live, Dead int64
	Last       time.Duration     // time since the last vacuum; negative: there was none, or the statistics were reset
	Automatic  bool              // autovacuum and track_counts are on
	Settings   map[string]string // settings of the table
	Threshold  int64             // number of dead rows at which autovacuum starts, by the table's settings
	HeldBack   []Horizon
	// Oldest is the transaction that has had a snapshot of the rows for the longest time, if the server shows
	// it. Vacuum cannot remove rows that were deleted since then. OldestAge is 0 without such a transaction.
	Oldest      string
	OldestAge   time.Duration
	ServerWide  string // "autovacuum" or "track_counts" when that is off
	TableSwitch bool   // false: autovacuum is switched off for the table

	// History is for MySQL and MariaDB: the number of old row versions that purge has not removed. -1: not
	// known.
	History int64
}

// Horizon is something that prevents the removal of dead rows.
type Horizon struct {
	Kind string // slot, standby
	Name string
	Age  int64 // in transactions
}

// QueueSettings returns the table settings that the migration sets for outbox_events.
func QueueSettings() map[string]string {
	return map[string]string{
		"autovacuum_vacuum_scale_factor": "0", "autovacuum_vacuum_threshold": "5000",
		"autovacuum_vacuum_cost_delay":       "0",
		"autovacuum_vacuum_insert_threshold": "-1", "autovacuum_analyze_scale_factor": "0",
		"autovacuum_analyze_threshold": "50000",
		"vacuum_truncate":              "off",
	}
}

// Vacuum queries the state of the table's dead rows. SQLite has none.
func (d *Database) Vacuum(ctx context.Context) (Vacuum, error) {
	return d.vacuum(ctx, db.Events)
}

func (d *Database) vacuum(ctx context.Context, table string) (Vacuum, error) {
	v := Vacuum{History: -1}
	err := d.look(ctx, func(ctx context.Context, tx *sql.Tx) error {
		read := db.For(d.names.Dialect, v.postgres, v.mysql, v.sqlite)
		return read(ctx, tx, d, d.names.Table(table))
	})
	return v, err
}

func (v *Vacuum) mysql(ctx context.Context, tx *sql.Tx, d *Database, _ string) error {
	return tx.QueryRowContext(ctx, d.mysql.History).Scan(&v.History)
}

// sqlite has nothing to vacuum.
func (v *Vacuum) sqlite(context.Context, *sql.Tx, *Database, string) error { return nil }

func (v *Vacuum) postgres(ctx context.Context, tx *sql.Tx, d *Database, table string) error {
	var options, auto, counts string
	var last sql.NullInt64
	err := tx.QueryRowContext(ctx, d.postgres.VacuumState, table).
		Scan(&v.Live, &v.Dead, &last, &options, &auto, &counts)
	if err != nil {
		return err
	}
	v.Last, v.Settings, v.TableSwitch = -1, map[string]string{}, true
	if last.Valid {
		v.Last = db.Micros(last)
	}
	for option := range strings.FieldsSeq(options) {
		name, value, _ := strings.Cut(option, "=")
		v.Settings[name] = value
	}
	if value, set := v.Settings["autovacuum_enabled"]; set {
		v.TableSwitch = truth(value)
	}
	for _, s := range []struct{ name, value string }{{"track_counts", counts}, {"autovacuum", auto}} {
		if s.value != "on" {
			v.ServerWide = s.name
		}
	}
	v.Automatic = v.TableSwitch && v.ServerWide == ""
	v.Threshold = v.threshold()
	var age sql.NullInt64
	err = tx.QueryRowContext(ctx, d.postgres.OldestView).Scan(&v.Oldest, &age)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	v.OldestAge = db.Micros(age)
	return db.Each(ctx, tx, func(rows *sql.Rows) error {
		var h Horizon
		err := rows.Scan(&h.Kind, &h.Name, &h.Age)
		v.HeldBack = append(v.HeldBack, h)
		return err
	}, d.postgres.Horizons)
}

// threshold is the number of dead rows at which autovacuum starts. Settings that the table does not have are
// PostgreSQL's defaults.
func (v *Vacuum) threshold() int64 {
	number := func(name string, otherwise float64) float64 {
		if n, err := strconv.ParseFloat(v.Settings[name], 64); err == nil {
			return n
		}
		return otherwise
	}
	return int64(
		number("autovacuum_vacuum_threshold", 50) + number("autovacuum_vacuum_scale_factor", 0.2)*float64(v.Live),
	)
}

// truth parses a switch in every spelling that PostgreSQL accepts.
func truth(value string) bool {
	switch strings.ToLower(value) {
	case "off", "false", "no", "0", "f", "n", "of", "fa", "fal", "fals":
		return false
	}
	return true
}

// SameSetting reports whether two values of a table's setting have the same meaning.
func SameSetting(a, b string) bool {
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	if errX == nil && errY == nil {
		return x == y
	}
	return a == b || (errX != nil && errY != nil && truth(a) == truth(b))
}
