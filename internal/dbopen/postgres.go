package dbopen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/postroom/postroom/internal/db"
)

const execModeParam = "default_query_exec_mode"

// postgresConfig sets only start-up parameters that pgbouncer accepts from any
// client; it ends the connection on others.
func postgresConfig(u *parsedURL) (*pgx.ConnConfig, error) {
	cfg, err := pgx.ParseConfig(u.raw)
	if err != nil {
		// The driver's error repeats the URL, and hides passwords only as well as it can.
		return nil, fmt.Errorf(
			"database URL (postgres): %s: check host, port and parameters (see "+
				"https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS)",
			parseReason(err, u),
		)
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = ConnectTimeout
		// pgx makes its dialer while it parses, from the timeout in the URL.
		cfg.DialFunc = (&net.Dialer{Timeout: ConnectTimeout, KeepAlive: time.Minute}).DialContext
	}
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = "postroom"
	}
	cfg.RuntimeParams["timezone"] = "UTC"
	cfg.RuntimeParams["client_encoding"] = "UTF8" // a role may have another by default
	return cfg, nil
}

// parseReason returns the parser's reason where it cannot hold a part of a secret.
func parseReason(err error, u *parsedURL) string {
	secrets := []string{u.password}
	for _, name := range []string{"password", "sslpassword", "user"} {
		secrets = append(secrets, u.query[name]...)
	}
	reason := "it cannot be used"
	if inner := errors.Unwrap(err); inner != nil {
		reason = inner.Error()
	}
	for _, s := range secrets {
		if s != "" && strings.Contains(reason, s) {
			return "it cannot be used"
		}
	}
	return reason
}

func openPostgres(ctx context.Context, u *parsedURL, o options) (*Target, error) {
	cfg, err := postgresConfig(u)
	if err != nil {
		return nil, err
	}
	where := postgresName(cfg)
	found, err := probe(ctx, cfg, where)
	if err != nil {
		return nil, err
	}
	if o.lockWait > 0 && !found.pooler && cfg.RuntimeParams["lock_timeout"] == "" {
		cfg.RuntimeParams["lock_timeout"] = strconv.FormatInt(o.lockWait.Milliseconds(), 10)
	}
	_, chosen := u.query[execModeParam]
	if err := found.prepare(cfg, where, chosen); err != nil {
		return nil, err
	}
	return &Target{
		DB:       stdlib.OpenDB(*cfg),
		Dialect:  db.PostgreSQL,
		Redacted: where,
		Pooler:   found.pooler,
	}, nil
}

// PoolerVersion asks the pooler at rawURL who it is, as pgbouncer tells its users in a
// database of its own, for example "PgBouncer 1.21.0". An empty text: it does not say,
// or not to this user.
func PoolerVersion(ctx context.Context, rawURL string) string {
	u, err := parseURL(rawURL)
	if err != nil || u.dialect != db.PostgreSQL {
		return ""
	}
	cfg, err := postgresConfig(u)
	if err != nil {
		return ""
	}
	cfg.Database = "pgbouncer"
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return ""
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var version string
	// Its console speaks the simple protocol alone.
	if err := conn.QueryRow(ctx, "SHOW VERSION", pgx.QueryExecModeSimpleProtocol).Scan(&version); err != nil {
		return ""
	}
	return version
}

// postgresFacts is what one connection tells about the far side.
type postgresFacts struct {
	pooler    bool
	isolation string
}

// probe connects once. A pooler shows in the process id: the one that the client was
// told when it connected is the pooler's invention, and the server says another.
func probe(ctx context.Context, cfg *pgx.ConnConfig, where string) (postgresFacts, error) {
	ctx, cancel := context.WithTimeout(ctx, cfg.ConnectTimeout)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return postgresFacts{}, cannotOpen(where, err, cfg.ConnectTimeout)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if has := conn.PgConn().ParameterStatus("server_encoding"); has != "" && has != "UTF8" {
		return postgresFacts{}, unusable(
			where,
			"the database's encoding is %s, and Postroom needs UTF8: keys and topics are UTF-8 in Kafka, and text "+
				"that has no such form could not be read. "+
				"Make a database with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0, and move yours with "+
				"pg_dump and pg_restore",
			has,
		)
	}
	var (
		pid   uint32
		facts postgresFacts
	)
	const ask = "SELECT pg_backend_pid(), current_setting('default_transaction_isolation')"
	if err := conn.QueryRow(ctx, ask, pgx.QueryExecModeSimpleProtocol).Scan(&pid, &facts.isolation); err != nil {
		return postgresFacts{}, cannotOpen(where, err, cfg.ConnectTimeout)
	}
	facts.pooler = pid != conn.PgConn().PID()
	return facts, nil
}

// prepare finishes cfg for the pool.
func (f postgresFacts) prepare(cfg *pgx.ConnConfig, where string, modeChosen bool) error {
	const readCommitted = "read committed"
	if !f.pooler {
		cfg.RuntimeParams["default_transaction_isolation"] = readCommitted
		return nil
	}
	if f.isolation != readCommitted {
		return unusable(
			where,
			"default_transaction_isolation is %q and cannot be set through a pooler: run ALTER ROLE %s SET "+
				"default_transaction_isolation = 'read committed', or connect to PostgreSQL directly",
			f.isolation, pgx.Identifier{cfg.User}.Sanitize(),
		)
	}
	if !modeChosen {
		// A named prepared statement lives on one server connection, the next
		// transaction may run on another. This mode asks once for a statement's
		// types and then sends statement and values together, unnamed.
		cfg.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	}
	return nil
}

func postgresName(cfg *pgx.ConnConfig) string {
	hosts := []string{hostPort(cfg.Host, cfg.Port)}
	for _, f := range cfg.Fallbacks { // other hosts, and the same one without TLS
		if h := hostPort(f.Host, f.Port); h != hosts[len(hosts)-1] {
			hosts = append(hosts, h)
		}
	}
	return "postgresql at " + strings.Join(hosts, ",") + "/" + cfg.Database
}

func hostPort(host string, port uint16) string {
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}
