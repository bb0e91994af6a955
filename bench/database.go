package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"

	"github.com/postroom/postroom/internal/dbopen"
	"github.com/postroom/postroom/migrations"
)

// database is a fresh one with Postroom's tables.
type database struct {
	name    string
	url     string // for the contenders
	dialect migrations.Dialect
	sql     *sql.DB
	admin   *sql.DB
}

const (
	payloadBytes = 256
	keys         = 10_000
)

func newDatabase(ctx context.Context, server string, only migrations.Scope) (_ *database, err error) {
	admin, err := dbopen.Open(ctx, server)
	if err != nil {
		return nil, err
	}
	d := &database{dialect: admin.Dialect, admin: admin.DB}
	defer func() {
		if err != nil {
			atEnd(&err, d.drop)
		}
	}()
	name, err := freshName("postroom_bench_")
	if err != nil {
		return nil, err
	}
	if _, err := d.admin.ExecContext(ctx, "CREATE DATABASE "+name); err != nil {
		return nil, err
	}
	d.name = name
	u, err := url.Parse(server)
	if err != nil {
		return nil, errors.New("the test server's URL cannot be parsed") // its text holds the password
	}
	u.Path = "/" + name
	d.url = u.String()
	target, err := dbopen.Open(ctx, d.url, dbopen.WithMaxOpen(writers+4))
	if err != nil {
		return nil, err
	}
	d.sql = target.DB
	_, err = migrations.Apply(ctx, d.sql, d.dialect, migrations.Options{Only: only})
	return d, err
}

// drop closes everything and removes the database.
func (d *database) drop(ctx context.Context) error {
	var errs []error
	if d.sql != nil {
		errs = append(errs, d.sql.Close())
	}
	if d.name != "" {
		statement := "DROP DATABASE " + d.name
		if d.dialect == migrations.PostgreSQL {
			statement += " WITH (FORCE)"
		}
		_, err := d.admin.ExecContext(ctx, statement)
		errs = append(errs, err)
	}
	return errors.Join(append(errs, d.admin.Close())...)
}

// fill empties the table, makes a backlog of n rows, and leaves the server at rest.
func (d *database) fill(ctx context.Context, topic string, n int) error {
	statements := d.fillStatements(topic, n)
	if n == 0 {
		statements = statements[:1]
	}
	for _, s := range statements {
		if _, err := d.sql.ExecContext(ctx, s.text, s.args...); err != nil {
			return fmt.Errorf("fill the outbox: %w", err)
		}
	}
	return nil
}

type statement struct {
	text string
	args []any
}

// fillStatements empties the table by the first statement.
func (d *database) fillStatements(topic string, n int) []statement {
	if d.dialect == migrations.PostgreSQL {
		return []statement{
			{text: "TRUNCATE outbox_events"},
			{text: fmt.Sprintf(`INSERT INTO outbox_events (topic, event_key, event_type, payload)
SELECT $1, 'key-' || i %% %d, 'bench.happened', decode(repeat(md5(i::text), %d), 'hex')
FROM generate_series(1, %d) AS i`,
				keys, payloadBytes/16, n), args: []any{topic}},
			{text: "VACUUM (ANALYZE) outbox_events"},
			{text: "CHECKPOINT"},
		}
	}
	return []statement{
		{text: "TRUNCATE outbox_events"},
		{text: fmt.Sprintf(`INSERT INTO outbox_events (topic, event_key, event_type, payload)
SELECT ?, CONCAT('key-', seq %% %d), 'bench.happened', REPEAT(UNHEX(MD5(seq)), %d) FROM seq_1_to_%d`,
			keys, payloadBytes/16, n), args: []any{topic}},
		{text: "ANALYZE TABLE outbox_events"},
	}
}

// empty tells whether the outbox is. The last row is asked for, because rows go from
// the front: the question costs little while there are some.
func (d *database) empty(ctx context.Context) (bool, error) {
	var id int64
	err := d.sql.QueryRowContext(ctx, "SELECT id FROM outbox_events ORDER BY id DESC LIMIT 1").Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return true, nil
	}
	return false, err
}

func freshName(prefix string) (string, error) {
	var b [6]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", err
	}
	return prefix + hex.EncodeToString(b[:]), nil
}
