package facts

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/postroom/postroom/internal/db"
)

// Setting is a setting that lets a commit be lost, or that could.
type Setting struct {
	Name  string
	Value string
	// Role and Database say for whom it is set; both empty: for everyone. As SQL writes
	// them. PostgreSQL's setting for ALL roles has the role "ALL".
	Role, Database string
}

// Durability is whether a commit stays.
type Durability struct {
	Settings []Setting
	// Standbys: PostgreSQL waits for synchronous standbys.
	Standbys bool
	// Tables are those that do not survive a crash, with the reason: unlogged, or an
	// engine without transactions.
	Tables map[string]string
}

// Durability reads the settings on which it depends whether a commit stays.
func (d *Database) Durability(ctx context.Context) (Durability, error) {
	found := Durability{Tables: map[string]string{}}
	err := d.look(ctx, func(ctx context.Context, tx *sql.Tx) error {
		read := db.For(d.names.Dialect, found.postgres, found.mysql, found.sqlite)
		return read(ctx, tx, d)
	})
	return found, err
}

// postgres reads the settings for everyone, and synchronous_commit where a role or a
// database has its own: a writer's, not only ours.
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
		} // the others are in the next list
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

// sqlite: the journal is a property of the file, synchronous one of each connection;
// this one is set up as the relay's are.
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
