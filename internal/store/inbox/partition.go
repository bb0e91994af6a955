package inbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/postroom/postroom/internal/db"
)

// Layout is how inbox_events is made.
type Layout struct {
	Daily bool
	// Owner: this user may make and drop partitions.
	Owner bool
}

// Layout looks at the table; a missing one has no partitions and no owner.
func (s *Store) Layout(ctx context.Context, q db.Queryer) (l Layout, err error) {
	if s.names.Dialect != db.PostgreSQL {
		return l, nil
	}
	err = one(ctx, q, []any{&l.Daily, &l.Owner}, s.postgres.Layout, s.names.Table(db.InboxEvents))
	if errors.Is(err, sql.ErrNoRows) {
		return l, nil
	}
	return l, err
}

// ErrDaily means: the table has daily partitions already.
var ErrDaily = errors.New("the table has daily partitions already")

// Partition makes inbox_events over, in one transaction, so that it has daily partitions,
// some days ahead and for the last month, and returns how many rows it copied. Writers wait
// meanwhile; lockTimeout bounds how long it waits for them.
func (s *Store) Partition(ctx context.Context, pool *sql.DB, ahead int, lockTimeout time.Duration) (
	copied int64, err error,
) {
	if s.names.Dialect != db.PostgreSQL {
		return 0, errNoDays
	}
	p := s.partitioning(ctx)
	err = p.inTx(pool, lockTimeout, func() error {
		p.exec(s.daily.LockTable)
		layout, err := s.Layout(ctx, p.tx)
		if p.err == nil && err == nil && layout.Daily {
			return ErrDaily
		}
		prefix := db.Values{"prefix": db.SQL(s.names.Prefix)}
		p.exec(db.Fill(s.daily.RenameTable, prefix))
		p.exec(db.Fill(s.daily.RenameIndex, prefix))
		p.create()
		for _, day := range p.texts(s.daily.FirstDays, ahead) {
			p.attach(day)
		}
		if p.err == nil {
			copied, p.err = affected(ctx, p.tx, s.daily.CopyRows)
		}
		p.exec(s.daily.DropBefore)
		return p.err
	})
	return copied, err
}

// partitioning is one transaction of data definition; after an error nothing more is run.
type partitioning struct {
	*Store
	ctx context.Context
	tx  *sql.Tx
	err error
}

func (s *Store) partitioning(ctx context.Context) *partitioning {
	return &partitioning{Store: s, ctx: ctx}
}

// inTx runs do in a transaction that waits for no lock longer than lockTimeout.
func (p *partitioning) inTx(pool *sql.DB, lockTimeout time.Duration, do func() error) error {
	// Read committed: what is looked at under a lock must be as of then, and not of the
	// transaction's first statement.
	tx, err := pool.BeginTx(p.ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	p.tx, p.err = tx, nil
	limit := fmt.Sprintf("%dms", max(lockTimeout.Milliseconds(), 1))
	if err := exec(p.ctx, tx, p.daily.LimitLockWait, limit); err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	return tx.Commit()
}

func (p *partitioning) exec(statement string) {
	if p.err == nil {
		p.err = exec(p.ctx, p.tx, statement)
	}
}

func (p *partitioning) texts(query string, args ...any) (found []string) {
	if p.err == nil {
		found, p.err = texts(p.ctx, p.tx, query, args...)
	}
	return found
}

// create makes the partitioned table, the two partitions that are purged row by row, and the
// table of expiry, with the rights and the owner of the table before.
func (p *partitioning) create() {
	p.exec(db.Fill(p.daily.CreateTable, db.Values{"prefix": db.SQL(p.names.Prefix)}))
	p.exec(p.daily.CommentTable)
	p.exec(p.daily.CreateUndated)
	p.exec(p.daily.CreateStrays)
	p.exec(p.daily.CreateExpiry)
	p.exec(p.daily.CommentExpiry)
	p.exec(p.daily.CopyRights)
}

// attach makes a day's partition.
func (p *partitioning) attach(day string) {
	values := p.dayTable(day)
	values["day"], values["next_day"] = literal(day), literal(nextDay(day))
	p.exec(db.Fill(p.daily.CreateDay, values))
	p.exec(db.Fill(p.daily.AttachDay, values))
	p.exec(db.Fill(p.daily.OwnDay, values))
}

func literal(text string) db.SQL { return db.SQL("'" + strings.ReplaceAll(text, "'", "''") + "'") }

// dayTable names a day's partition, for the statements.
func (s *Store) dayTable(day string) db.Values {
	return db.Values{"table": db.SQL(s.names.Table(db.InboxDay + strings.ReplaceAll(day, "-", "")))}
}

func nextDay(day string) string {
	at, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return day // PostgreSQL rejects an empty range
	}
	return at.AddDate(0, 0, 1).Format(time.DateOnly)
}
