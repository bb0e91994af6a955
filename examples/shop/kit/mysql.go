package kit

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	mysqldriver "github.com/go-sql-driver/mysql"
)

// mysqlDSN turns a URL into the form of go-sql-driver, with what Postroom needs: times as times, in UTC, and READ
// COMMITTED.
func mysqlDSN(ctx context.Context, rawURL string) (string, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		// The error would have the URL, and so the password.
		return "", errors.New("the database URL is not a URL: percent-encode the password")
	}
	cfg := mysqldriver.NewConfig()
	cfg.User = u.User.Username()
	cfg.Passwd, _ = u.User.Password()
	cfg.Net, cfg.Addr, cfg.DBName = "tcp", u.Hostname()+":"+cmp.Or(u.Port(), "3306"), strings.TrimPrefix(u.Path, "/")
	for parameter, values := range u.Query() {
		// A parameter that is ignored could be the one that the connection is safe by.
		if known := []string{"true", "false", "skip-verify", "preferred"}; parameter != "tls" ||
			!slices.Contains(known, values[0]) {
			return "", fmt.Errorf("the database URL has the parameter %s: only tls can be set, to one of %v",
				parameter, known)
		}
		cfg.TLSConfig = values[0]
	}
	cfg.ParseTime, cfg.Loc = true, time.UTC
	cfg.Params = map[string]string{"time_zone": "'+00:00'"}
	version, err := mysqlVersion(ctx, cfg.FormatDSN())
	if err != nil {
		return "", fmt.Errorf("connect to %s/%s: %w", cfg.Addr, cfg.DBName, err)
	}
	isolation := "transaction_isolation"
	if strings.Contains(version, "MariaDB") {
		isolation = "tx_isolation" // MariaDB's name for it, until 11.1 the only one
	}
	cfg.Params[isolation] = "'READ-COMMITTED'"
	return cfg.FormatDSN(), nil
}

func mysqlVersion(ctx context.Context, dsn string) (version string, err error) {
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		return "", err
	}
	defer func() { _ = db.Close() }()
	err = db.QueryRowContext(ctx, "SELECT VERSION()").Scan(&version)
	return version, err
}
