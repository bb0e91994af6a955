package dbopen

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	sqldb "github.com/postroom/postroom/internal/db"
)

// oursAlone are parameters of the driver that a URL may not set, because Postroom relies on them.
var oursAlone = []string{
	"parsetime", "loc", "time_zone", "clientfoundrows", "multistatements", "interpolateparams",
	"transaction_isolation", "tx_isolation", "sql_mode", "allowallfiles", "columnswithalias",
}

func mysqlConfig(u *parsedURL) (*mysql.Config, error) {
	params := maps.Clone(u.query)
	socket := params.Get("socket")
	params.Del("socket")
	for name := range params {
		if slices.Contains(oursAlone, strings.ToLower(name)) {
			return nil, fmt.Errorf("database URL (mysql): parameter %q: Postroom sets it itself: leave it out", name)
		}
	}
	// The driver's parser gets only the parameters, because its DSN cannot escape user
	// and password.
	cfg, err := mysql.ParseDSN("/?" + params.Encode())
	if err != nil {
		return nil, fmt.Errorf("database URL (mysql): %w (see https://github.com/go-sql-driver/mysql#parameters)", err)
	}
	cfg.User, cfg.Passwd, cfg.DBName = u.user, u.password, u.path
	cfg.Net, cfg.Addr = "tcp", u.hosts
	if socket != "" {
		cfg.Net, cfg.Addr = "unix", socket
	}
	if cfg.DBName == "" {
		return nil, errors.New("database URL (mysql): name the database: mysql://user@host:3306/database")
	}
	if strings.Contains(cfg.Addr, ",") {
		return nil, errors.New("database URL (mysql): several hosts are not supported: name the primary")
	}
	setMySQL(cfg)
	return cfg, nil
}

func setMySQL(cfg *mysql.Config) {
	if cfg.Net == "tcp" {
		if cfg.Addr == "" || strings.HasPrefix(cfg.Addr, ":") {
			cfg.Addr = "127.0.0.1" + cfg.Addr
		}
		if strings.LastIndexByte(cfg.Addr, ':') <= strings.LastIndexByte(cfg.Addr, ']') {
			cfg.Addr += ":3306"
		}
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = ConnectTimeout
	}
	cfg.ParseTime, cfg.Loc = true, time.UTC
	cfg.ClientFoundRows = false  // a fenced delete counts the rows that it removed
	cfg.InterpolateParams = true // one round trip for a statement instead of three
	cfg.MultiStatements = false
	cfg.Logger = &mysql.NopLogger{} // it would write to stderr, and not to our log; the errors are returned too
	if cfg.Params == nil {
		cfg.Params = map[string]string{}
	}
	cfg.Params["time_zone"] = "'+00:00'"
	// Without a strict mode the server cuts values off instead of rejecting them, and
	// ANSI_QUOTES and the like change what our SQL means.
	cfg.Params["sql_mode"] = "'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'"
}

func openMySQL(ctx context.Context, u *parsedURL, o options) (*Target, error) {
	cfg, err := mysqlConfig(u)
	if err != nil {
		return nil, err
	}
	where := "mysql at " + cfg.Addr + "/" + cfg.DBName
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, fmt.Errorf("database URL (mysql): %w (see https://github.com/go-sql-driver/mysql#parameters)", err)
	}
	db := sql.OpenDB(session{Connector: connector, set: sessionSettings(o)})
	if err := ping(ctx, db, where, cfg.Timeout); err != nil {
		_ = db.Close()
		return nil, err
	}
	return &Target{DB: db, Dialect: sqldb.MySQL, Redacted: where}, nil
}

// sessionSettings are the statements that a new connection begins with. One sets the
// isolation level, because the variable has two names: tx_isolation on MariaDB before 11.1,
// transaction_isolation on MySQL 8. The others limit the waits for locks of rows and of tables.
func sessionSettings(o options) []string {
	set := []string{"SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"}
	if o.lockWait > 0 {
		s := max(1, int(o.lockWait.Seconds()))
		set = append(set, fmt.Sprintf("SET SESSION innodb_lock_wait_timeout = %d, lock_wait_timeout = %d", s, s))
	}
	return set
}

// session makes each new connection run some statements.
type session struct {
	driver.Connector
	set []string
}

func (c session) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	exec, ok := conn.(driver.ExecerContext)
	if !ok {
		_ = conn.Close()
		return nil, errors.New("the mysql driver's connection cannot run statements")
	}
	for _, statement := range c.set {
		if _, err := exec.ExecContext(ctx, statement, nil); err != nil {
			_ = conn.Close()
			return nil, fmt.Errorf("prepare the session: %s: %w", statement, err)
		}
	}
	return conn, nil
}
