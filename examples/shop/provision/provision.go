// Package provision gives each service of the shop a database of its own, and a database user that can open that
// database alone. So no service can read or change another's data, not even by mistake: what it needs of another's data
// it has to learn from events, or ask for.
package provision

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/outbox"
)

// Shards is how many databases orders has from the beginning, and AddedShard is the next one, for when they are full.
const (
	Shards     = 4
	AddedShard = "orders_5"
)

// Databases are the databases of the shop. orders is spread over several.
func Databases() []string {
	return []string{
		"customers", "stock", "payments", "notifications", "gateway", "orders_1", "orders_2", "orders_3", "orders_4",
	}
}

var validName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// Make makes a database and a user for each name, on the server at adminURL, and returns the URL for each service. Both
// are called prefix + name. On SQLite (sqlite:FOLDER) a database is a file, and there are no users.
//
// It may be called again: the databases stay as they are, and the users get new passwords. The URLs have the passwords,
// and nothing else has them: keep the URLs out of logs and command lines.
func Make(ctx context.Context, adminURL, prefix string, names ...string) (urls map[string]string, err error) {
	for _, name := range names {
		if !validName.MatchString(prefix + name) {
			return nil, fmt.Errorf("provision %q: the name may have a-z, 0-9 and _", prefix+name)
		}
	}
	if folder, isFolder := strings.CutPrefix(adminURL, "sqlite:"); isFolder {
		urls = map[string]string{}
		for _, name := range names {
			urls[name] = "sqlite:" + filepath.Join(folder, prefix+name+".db")
		}
		return urls, os.MkdirAll(folder, 0o700)
	}
	admin, err := kit.Connect(ctx, adminURL)
	if err != nil {
		return nil, err
	}
	defer func() { _ = admin.Close() }()
	if admin.Dialect == outbox.PostgreSQL {
		if err := closeTemplate(ctx, admin); err != nil {
			return nil, fmt.Errorf("provision: close template1: %w", err)
		}
	}
	urls = map[string]string{}
	for _, name := range names {
		if urls[name], err = makeOne(ctx, admin, adminURL, prefix+name); err != nil {
			return nil, fmt.Errorf("provision %s: %w", prefix+name, err)
		}
	}
	return urls, nil
}

// makeOne makes a database and a user, both called name, and returns the user's URL.
func makeOne(ctx context.Context, admin *kit.DB, adminURL, name string) (string, error) {
	password := rand.Text()
	statementsFor := postgreSQL
	if admin.Dialect == outbox.MySQL {
		statementsFor = mySQL
	}
	statements, err := statementsFor(ctx, admin, name, password)
	if err != nil {
		return "", err
	}
	for _, statement := range statements {
		if _, err := admin.SQL.ExecContext(ctx, statement); err != nil {
			return "", err
		}
	}
	return userURL(adminURL, name, password)
}

// forEverybody are the parameters of an administrator's URL that a service needs too. Others, such as user and
// password, would make the service log in as the administrator.
var forEverybody = []string{"host", "port", "sslmode", "sslrootcert", "connect_timeout", "tls"}

func userURL(adminURL, name, password string) (string, error) {
	u, err := url.Parse(adminURL)
	if err != nil {
		return "", errors.New("the administrator's URL is not a URL") // the error would have the password
	}
	given, kept := u.Query(), url.Values{}
	for _, parameter := range forEverybody {
		if given.Has(parameter) {
			kept[parameter] = given[parameter]
		}
	}
	u.User, u.Path, u.RawQuery = url.UserPassword(name, password), "/"+name, kept.Encode()
	return u.String(), nil
}

// closeTemplate takes the right to open template1 from the users of the services: what one of them made there would be
// in every new database.
func closeTemplate(ctx context.Context, admin *kit.DB) error {
	return admin.Tx(ctx, func(tx *sql.Tx) error {
		// Of two REVOKEs at the same time one fails.
		_, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock(hashtext('postroom shop template1'))")
		if err != nil {
			return err
		}
		var open bool
		err = tx.QueryRowContext(ctx, "SELECT has_database_privilege('public', 'template1', 'CONNECT')").Scan(&open)
		if err != nil || !open {
			return err
		}
		_, err = tx.ExecContext(ctx, "REVOKE CONNECT ON DATABASE template1 FROM PUBLIC")
		return err
	})
}

func postgreSQL(ctx context.Context, admin *kit.DB, name, password string) (statements []string, err error) {
	var userThere, databaseThere bool
	if err := admin.SQL.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = $1),
		EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)`, name).Scan(&userThere, &databaseThere); err != nil {
		return nil, err
	}
	if !userThere {
		statements = append(statements, "CREATE ROLE "+name)
	}
	statements = append(statements, "ALTER ROLE "+name+" LOGIN PASSWORD '"+scramVerifier(password)+"'")
	if !databaseThere {
		// An administrator who is no superuser can give the database to a role only as its member.
		statements = append(statements, "GRANT "+name+" TO CURRENT_USER", "CREATE DATABASE "+name+" OWNER "+name)
	}
	// By default every user may connect to every database. Without this the other services could.
	return append(statements, "REVOKE ALL ON DATABASE "+name+" FROM PUBLIC"), nil
}

func mySQL(ctx context.Context, admin *kit.DB, name, password string) ([]string, error) {
	var version string
	if err := admin.SQL.QueryRowContext(ctx, "SELECT VERSION()").Scan(&version); err != nil {
		return nil, err
	}
	identified := "IDENTIFIED BY PASSWORD '" + mariaDBHash(password) + "'"
	if !strings.Contains(version, "MariaDB") {
		// MySQL has no such hash, and masks passwords in its logs itself.
		identified = "IDENTIFIED BY '" + password + "'"
	}
	// In GRANT an underscore stands for any character: shop_stock would also be the right to open shop2stock.
	pattern := strings.ReplaceAll(name, "_", `\_`)
	return []string{
		// Texts are compared by their bytes: a and A are two, and so are a and "a ", as on the other databases.
		"CREATE DATABASE IF NOT EXISTS " + name + " CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin",
		"CREATE USER IF NOT EXISTS '" + name + "'@'%' " + identified,
		"ALTER USER '" + name + "'@'%' " + identified, // if it was there
		"GRANT ALL PRIVILEGES ON `" + pattern + "`.* TO '" + name + "'@'%'",
	}, nil
}
