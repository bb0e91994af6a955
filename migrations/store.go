package migrations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/pressly/goose/v3/database"

	sqldb "github.com/postroom/postroom/internal/db"
)

// store keeps the applied versions for goose. It is our own, because goose's store does not quote a schema's
// name, needs a row for a version 0, and does not keep a file's name, without which an older build could not
// tell the scope of a newer file. It also records a version without checking who holds the lock.
type store struct {
	plan *plan
	lock *tableLock
}

var _ database.StoreExtender = (*store)(nil)

// Tablename returns the table's name for goose's messages.
func (s *store) Tablename() string { return s.plan.names.Plain(versionTable) }

func (s *store) CreateVersionTable(ctx context.Context, db database.DBTxConn) error {
	_, err := db.ExecContext(ctx, s.plan.sql.createVersions)
	return err
}

func (s *store) TableExists(ctx context.Context, db database.DBTxConn) (bool, error) {
	_, err := s.plan.versions(ctx, db)
	if sqldb.IsMissingTable(err) {
		return false, nil
	}
	return err == nil, err
}

// Insert records a file while this process holds the lock. It does so in the file's transaction, if there is
// one.
//
// It prevents this interleaving: a process pauses for longer than the lease in the middle of a file, another
// process takes the lock and applies the same file, and the first one continues. Here the first one finds
// that it has lost the lock, and everything is rolled back. The lock also cannot be taken between Insert and
// the commit, because renewing the lock locks its row. On MySQL nothing is rolled back, but the statements of
// the second process do nothing, and its INSERT violates the primary key.
func (s *store) Insert(ctx context.Context, db database.DBTxConn, req database.InsertRequest) error {
	if req.Version == 0 {
		return nil // goose's mark for an empty table, which ListMigrations adds
	}
	if err := s.lock.renew(ctx, db); err != nil {
		return err
	}
	for _, f := range s.plan.files {
		if f.version == req.Version {
			_, err := db.ExecContext(ctx, s.plan.sql.insertVersion(f.version, f.name))
			return err
		}
	}
	return fmt.Errorf("record version %d: no such file", req.Version)
}

// Delete is part of goose's interface. There are no migrations down.
func (s *store) Delete(context.Context, database.DBTxConn, int64) error {
	return errors.New("migrations cannot be reverted")
}

func (s *store) GetMigration(
	ctx context.Context, db database.DBTxConn, version int64,
) (*database.GetMigrationResult, error) {
	applied, err := s.plan.versions(ctx, db)
	if err != nil {
		return nil, err
	}
	for _, v := range applied {
		if v.version == version {
			return &database.GetMigrationResult{Timestamp: v.at, IsApplied: true}, nil
		}
	}
	return nil, database.ErrVersionNotFound
}

func (s *store) GetLatestVersion(ctx context.Context, db database.DBTxConn) (int64, error) {
	applied, err := s.plan.versions(ctx, db)
	if err != nil || len(applied) == 0 {
		return 0, err
	}
	return applied[len(applied)-1].version, nil
}

func (s *store) ListMigrations(ctx context.Context, db database.DBTxConn) ([]*database.ListMigrationsResult, error) {
	applied, err := s.plan.versions(ctx, db)
	if err != nil {
		return nil, err
	}
	var list []*database.ListMigrationsResult // goose expects the newest first, and a version 0
	for i := len(applied) - 1; i >= 0; i-- {
		list = append(list, &database.ListMigrationsResult{Version: applied[i].version, IsApplied: true})
	}
	return append(list, &database.ListMigrationsResult{Version: 0, IsApplied: true}), nil
}

// appliedVersion is a row of the version table.
type appliedVersion struct {
	version int64
	name    string
	at      time.Time
}

type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// versions reads the version table, the oldest version first, and returns the driver's errors.
func (p *plan) versions(ctx context.Context, db queryer) ([]appliedVersion, error) {
	rows, err := db.QueryContext(ctx, p.sql.listVersions)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var applied []appliedVersion
	for rows.Next() {
		var v appliedVersion
		var at string
		if err := rows.Scan(&v.version, &v.name, &at); err != nil {
			return nil, err
		}
		if v.at, err = time.Parse(time.RFC3339Nano, at); err != nil {
			return nil, fmt.Errorf("version %d in %s: %w", v.version, p.names.Plain(versionTable), err)
		}
		applied = append(applied, v)
	}
	return applied, rows.Err()
}
