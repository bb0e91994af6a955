package main

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/glebarez/sqlite"
	mysqldriver "github.com/go-sql-driver/mysql"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/postroom/postroom/outbox"
)

// servers has a database and a Kafka. A real shop and a real billing have one database each. Here they share
// one.
type servers struct {
	db      *gorm.DB
	sql     *sql.DB // the connection pool of db
	dialect outbox.Dialect
	brokers []string
	topic   string

	closers []func()
}

// open opens the servers at the addresses. For an empty address it starts a replacement in this process.
func open(ctx context.Context, databaseURL, kafkaBrokers, topic string) (_ *servers, err error) {
	s := &servers{topic: topic}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if err := s.openDatabase(ctx, databaseURL); err != nil {
		return nil, err
	}
	if err := s.openKafka(ctx, kafkaBrokers); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *servers) close() {
	for i := len(s.closers) - 1; i >= 0; i-- {
		s.closers[i]()
	}
	s.closers = nil
}

func (s *servers) openDatabase(ctx context.Context, rawURL string) error {
	dialector, err := s.dialector(ctx, rawURL)
	if err != nil {
		return err
	}
	// gorm prints no error lines, because each error is returned, and printed once.
	s.db, err = gorm.Open(dialector, &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return fmt.Errorf("open the database: %w", err)
	}
	if s.sql, err = s.db.DB(); err != nil {
		return fmt.Errorf("open the database: %w", err)
	}
	s.closers = append(s.closers, func() { _ = s.sql.Close() })
	return nil
}

func (s *servers) dialector(ctx context.Context, rawURL string) (gorm.Dialector, error) {
	scheme, _, _ := strings.Cut(rawURL, "://")
	switch scheme {
	case "postgres", "postgresql":
		s.dialect = outbox.PostgreSQL
		return postgres.Open(rawURL), nil
	case "mysql", "mariadb":
		s.dialect = outbox.MySQL
		dsn, err := mysqlDSN(ctx, rawURL)
		return mysql.Open(dsn), err
	case "":
		dir, err := os.MkdirTemp("", "postroom-quickstart-")
		if err != nil {
			return nil, err
		}
		s.closers = append(s.closers, func() { _ = os.RemoveAll(dir) })
		s.dialect = outbox.SQLite
		// Transactions take the write lock when they begin, and wait for it.
		return sqlite.Open("file:" + filepath.Join(dir, "quickstart.db") +
			"?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)"), nil
	}
	return nil, errors.New("DATABASE_URL: want postgres://… or mysql://…, or nothing for SQLite")
}

// mysqlDSN turns a URL into go-sql-driver's format, with the settings that the relay needs: times as
// time.Time, UTC, and READ COMMITTED.
func mysqlDSN(ctx context.Context, rawURL string) (string, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return "", errors.New(
			"DATABASE_URL: not a URL: percent-encode the password",
		) // without the URL, because it has a password
	}
	cfg := mysqldriver.NewConfig()
	cfg.User = u.User.Username()
	cfg.Passwd, _ = u.User.Password()
	cfg.Net, cfg.Addr, cfg.DBName = "tcp", u.Hostname()+":"+cmp.Or(u.Port(), "3306"), strings.TrimPrefix(u.Path, "/")
	cfg.ParseTime, cfg.Loc = true, time.UTC
	cfg.Params = map[string]string{"time_zone": "'+00:00'"}
	version, err := mysqlVersion(ctx, cfg.FormatDSN())
	if err != nil {
		return "", fmt.Errorf("connect to %s/%s: %w", cfg.Addr, cfg.DBName, err)
	}
	isolation := "transaction_isolation"
	if strings.Contains(version, "MariaDB") {
		isolation = "tx_isolation" // the name on old servers
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

// openKafka also creates the topic. This is needed because the relay rejects events for a topic that does not
// exist, so that a typing error does not become a topic.
func (s *servers) openKafka(ctx context.Context, brokers string) error {
	s.brokers = strings.Split(brokers, ",")
	if brokers == "" {
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
		if err != nil {
			return fmt.Errorf("start the in-process Kafka: %w", err)
		}
		s.closers = append(s.closers, cluster.Close)
		s.brokers = cluster.ListenAddrs()
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(s.brokers...))
	if err != nil {
		return fmt.Errorf("KAFKA_BROKERS: %w", err)
	}
	defer client.Close()
	_, err = kadm.NewClient(client).CreateTopic(ctx, 4, -1, nil, s.topic)
	if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		return fmt.Errorf("make the topic %s: %w", s.topic, err)
	}
	return nil
}
