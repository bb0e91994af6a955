// Package gormtest gives tests of the gorm adapters fresh, migrated databases. Only
// tests import it.
//
// It stands beside dbtest because gorm's SQLite driver and the one of dbtest both
// register the name "sqlite", and panic when they are in one binary.
package gormtest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/glebarez/sqlite"
	driver "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/postroom/postroom/migrations"
)

// Database is a migrated database of one test's own.
type Database struct {
	Dialect migrations.Dialect
	dialer  gorm.Dialector
}

// Each runs fn on a fresh database of each dialect, with Postroom's tables and those
// of the models.
func Each(t *testing.T, fn func(t *testing.T, db Database), models ...any) {
	t.Helper()
	for name, make := range map[string]func(*testing.T) Database{
		"postgresql": onPostgreSQL, "mariadb": onMariaDB, "sqlite": onSQLite,
	} {
		t.Run(name, func(t *testing.T) {
			db := make(t)
			g := db.Open(t, gorm.Config{})
			raw, err := g.DB()
			require.NoError(t, err)
			_, err = migrations.Apply(t.Context(), raw, db.Dialect, migrations.Options{})
			require.NoError(t, err)
			require.NoError(t, g.AutoMigrate(models...))
			fn(t, db)
		})
	}
}

// Open returns a *gorm.DB for the time of the test.
func (d Database) Open(t *testing.T, cfg gorm.Config) *gorm.DB {
	t.Helper()
	cfg.Logger = logger.Discard
	g, err := gorm.Open(d.dialer, &cfg)
	require.NoError(t, err)
	raw, err := g.DB()
	require.NoError(t, err)
	t.Cleanup(func() { _ = raw.Close() })
	return g
}

func onPostgreSQL(t *testing.T) Database {
	u := server(t, "POSTROOM_TEST_POSTGRES_URL")
	u.Path = "/" + fresh(t, postgres.Open(u.String()), " WITH (FORCE)")
	return Database{migrations.PostgreSQL, postgres.Open(u.String())}
}

func onMariaDB(t *testing.T) Database {
	u := server(t, "POSTROOM_TEST_MARIADB_URL")
	cfg := driver.NewConfig()
	cfg.User, cfg.Net, cfg.Addr, cfg.ParseTime = u.User.Username(), "tcp", u.Host, true
	cfg.Passwd, _ = u.User.Password()
	cfg.DBName = fresh(t, mysql.Open(cfg.FormatDSN()), "")
	return Database{migrations.MySQL, mysql.Open(cfg.FormatDSN())}
}

func onSQLite(t *testing.T) Database {
	return Database{
		migrations.SQLite, sqlite.Open(filepath.Join(t.TempDir(), "test.db") + "?_pragma=busy_timeout(10000)"),
	}
}

// server reads a server's address, and skips the test where there is none, which CI
// does not allow.
func server(t *testing.T, name string) *url.URL {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		const how = "%s is not set: run dev/services up && eval \"$(dev/services env)\""
		if os.Getenv("CI") == "true" {
			t.Fatalf(how, name)
		}
		t.Skipf(how, name)
	}
	u, err := url.Parse(value)
	require.NoError(t, err)
	return u
}

// fresh creates a database, drops it when the test ends, and returns its name.
func fresh(t *testing.T, dialer gorm.Dialector, force string) string {
	t.Helper()
	admin := Database{dialer: dialer}.Open(t, gorm.Config{})
	var b [6]byte
	_, err := rand.Read(b[:])
	require.NoError(t, err)
	name := "postroom_test_" + hex.EncodeToString(b[:])
	require.NoError(t, admin.Exec("CREATE DATABASE "+name).Error)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := admin.WithContext(ctx).Exec("DROP DATABASE " + name + force).Error; err != nil {
			t.Errorf("drop the test's database: %v", err)
		}
	})
	return name
}
