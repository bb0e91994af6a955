package facts

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/postroom/postroom/internal/db"
)

// Setting is a setting with which a commit can be lost, or that could have such a value.
type Setting struct {
	Name  string
	Value string
	// Role and Database say for whom it is set, in SQL's spelling. Both are empty if it is set for everyone.
	// PostgreSQL's setting for ALL roles has the role "ALL".
	Role, Database string
}

// Durability says whether a commit survives.
type Durability struct {
	Settings []Setting
	// Standbys is true if PostgreSQL waits for synchronous standbys.
	Standbys bool
	// Tables are the tables that do not survive a crash, with the reason: they are unlogged, or have an
	// engine without transactions.
	Tables map[string]string
}

// Durability reads the settings that decide whether a commit survives.
func (d *Database) Durability(ctx context.Context) (Durability, error) {
	found := Durability{Tables: map[string]string{}}
	err := d.look(ctx, func(ctx context.Context, tx *sql.Tx) error {
		read := db.For(d.names.Dialect, found.postgres, found.mysql, found.sqlite)
		return read(ctx, tx, d)
	})
	return found, err
}

// postgres reads the settings for everyone. It also reads synchronous_commit of roles and databases that have
// their own value, because a writer's value counts, and not only ours.
func (f *Durability) postgres(ctx context.Context, tx *sql.Tx, d *Database) error {
	err := db.Each(ctx, tx, func(rows *sql.Rows) error {
		var s Setting
		var source string
		if err := rows.Scan(&s.Name, &s.Value, &source); err != nil {
			return err
		}
		switch {
		case s.Name == "synchronous_standby_names":
			f.Standbys = s.Value != ""
		case source != "user" && source != "database" && source != "database user" && source != "global":
			f.Settings = append(f.Settings, s)
		} // the next list has the others
		return nil
	}, d.postgres.Settings)
	if err != nil {
		return err
	}
	err = db.Each(ctx, tx, func(rows *sql.Rows) error {
		s := Setting{Name: "synchronous_commit"}
		var setting string
		err := rows.Scan(&s.Role, &s.Database, &setting)
		_, s.Value, _ = strings.Cut(setting, "=")
		f.Settings = append(f.Settings, s)
		return err
	}, d.postgres.RoleSettings)
	if err != nil {
		return err
	}
	for _, table := range outboxTables(db.PostgreSQL) {
		var persistence string
		err := tx.QueryRowContext(ctx, d.postgres.Persistence, d.names.Table(table)).Scan(&persistence)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if persistence == "u" {
			f.Tables[table] = "unlogged"
		}
	}
	return nil
}

func (f *Durability) mysql(ctx context.Context, tx *sql.Tx, d *Database) error {
	names := []string{"innodb_flush_log_at_trx_commit", "sync_binlog", "log_bin", "innodb_doublewrite"}
	values, err := mysqlVariables(ctx, tx, names...)
	if err != nil {
		return err
	}
	for _, name := range names {
		if value, known := values[name]; known {
			f.Settings = append(f.Settings, Setting{Name: name, Value: value})
		}
	}
	for _, table := range outboxTables(db.MySQL) {
		var engine sql.NullString
		err := tx.QueryRowContext(ctx, d.mysql.Engine, d.names.Plain(table)).Scan(&engine)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if engine.Valid && !strings.EqualFold(engine.String, "InnoDB") {
			f.Tables[table] = "ENGINE = " + engine.String
		}
	}
	return nil
}

// sqlite reads the journal mode and synchronous. The journal mode belongs to the file, but synchronous
// belongs to each connection. This connection has the same settings as the relay's.
func (f *Durability) sqlite(ctx context.Context, tx *sql.Tx, _ *Database) error {
	for _, name := range []string{"journal_mode", "synchronous"} {
		s := Setting{Name: name}
		if err := tx.QueryRowContext(ctx, "PRAGMA "+name).Scan(&s.Value); err != nil {
			return err
		}
		f.Settings = append(f.Settings, s)
	}
	return nil
}
