package inboxgorm_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"gorm.io/gorm"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/inboxgorm"
	"github.com/postroom/postroom/internal/gormtest"
)

func TestMain(m *testing.M) {
	// gorm's cache of prepared statements has a goroutine that nothing ends.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("gorm.io/gorm/internal/lru.NewLRU[...].func1"))
}

type invoice struct {
	ID    uint
	Order string
}

var errHandler = errors.New("the handler's own error")

// configs are the ways in which gorm runs statements.
var configs = map[string]gorm.Config{
	"the default configuration": {},
	"prepared statements":       {PrepareStmt: true},
	"no default transactions":   {SkipDefaultTransaction: true},
	"both":                      {PrepareStmt: true, SkipDefaultTransaction: true},
}

func each(t *testing.T, fn func(t *testing.T, db *gorm.DB, ib *inbox.Inbox)) {
	t.Helper()
	gormtest.Each(t, func(t *testing.T, database gormtest.Database) {
		ib, err := inbox.New(database.Dialect, "billing", inbox.WithMaxAttempts(2),
			inbox.WithBackoff(time.Millisecond, time.Millisecond), inbox.WithLogger(slog.New(slog.DiscardHandler)))
		require.NoError(t, err)
		for name, cfg := range configs {
			t.Run(name, func(t *testing.T) {
				db := database.Open(t, cfg)
				require.NoError(t, db.Exec("DELETE FROM invoices").Error)
				require.NoError(t, db.Exec("DELETE FROM inbox_events").Error)
				fn(t, db, ib)
			})
		}
	}, &invoice{})
}

func invoices(t *testing.T, db *gorm.DB) (n int64) {
	t.Helper()
	require.NoError(t, db.Model(&invoice{}).Count(&n).Error)
	return n
}

func createInvoice(_ context.Context, tx *gorm.DB) error {
	return tx.Create(&invoice{Order: "o"}).Error
}

func TestProcessAppliesOnce(t *testing.T) {
	each(t, func(t *testing.T, db *gorm.DB, ib *inbox.Inbox) {
		for n := range 6 { // more than once through the prepared statements
			m := inbox.Message{ID: fmt.Sprint("m", n/2)}
			outcome, err := inboxgorm.Process(t.Context(), ib, db, m, createInvoice)
			require.NoError(t, err)
			require.Equal(t, []inbox.Outcome{inbox.Applied, inbox.Duplicate}[n%2], outcome)
		}
		require.Equal(t, int64(3), invoices(t, db))
	})
}

// What inboxkafka gives a handler is a *sql.Tx: Session writes in it, and with the message's id.
func TestASessionWritesInTheHandlersTransaction(t *testing.T) {
	each(t, func(t *testing.T, db *gorm.DB, ib *inbox.Inbox) {
		pool, err := db.DB()
		require.NoError(t, err)
		runs := 0
		outcome, err := ib.Process(t.Context(), pool, inbox.Message{ID: "m"},
			func(ctx context.Context, tx *sql.Tx) error {
				session, err := inboxgorm.Session(ctx, db.Where("1 = 0"), tx)
				require.NoError(t, err)
				require.NoError(t, createInvoice(ctx, session))
				require.Equal(t, int64(1), invoices(t, session))
				if runs++; runs == 1 {
					return errHandler // so that the first invoice is rolled back
				}
				_, err = inboxgorm.Session(ctx, session, tx)
				require.ErrorIs(t, err, inboxgorm.ErrInTransaction)
				return nil
			})
		require.NoError(t, err)
		require.Equal(t, inbox.Applied, outcome)
		require.Equal(t, int64(1), invoices(t, db))
		_, err = inboxgorm.Session(t.Context(), db, nil)
		require.ErrorContains(t, err, "nil")
	})
}

func TestTheHandlersTransactionHasTheContextAndNoConditions(t *testing.T) {
	type key struct{}
	each(t, func(t *testing.T, db *gorm.DB, ib *inbox.Inbox) {
		require.NoError(t, db.Create(&invoice{Order: "kept"}).Error)
		ctx := context.WithValue(t.Context(), key{}, "ours")
		conditioned := db.Where("1 = 0")
		_, err := inboxgorm.Process(ctx, ib, conditioned, inbox.Message{ID: "m"},
			func(ctx context.Context, tx *gorm.DB) error {
				require.Equal(t, "ours", ctx.Value(key{}))
				require.Equal(t, "ours", tx.Statement.Context.Value(key{}))
				require.Equal(t, int64(1), invoices(t, tx))
				return tx.Where("1 = 0").Find(&[]invoice{}).Error
			})
		require.NoError(t, err)
		require.Equal(t, int64(1), invoices(t, db), "the caller's *gorm.DB is as it was")
	})
}

func TestAFailedAttemptIsRolledBackAndRunAgain(t *testing.T) {
	each(t, func(t *testing.T, db *gorm.DB, ib *inbox.Inbox) {
		runs := 0
		outcome, err := inboxgorm.Process(t.Context(), ib, db, inbox.Message{ID: "m"},
			func(ctx context.Context, tx *gorm.DB) error {
				require.NoError(t, createInvoice(ctx, tx))
				if runs++; runs == 1 {
					return errHandler
				}
				return nil
			})
		require.NoError(t, err)
		require.Equal(t, inbox.Applied, outcome)
		require.Equal(t, 2, runs)
		require.Equal(t, int64(1), invoices(t, db))

		_, err = inboxgorm.Process(t.Context(), ib, db, inbox.Message{ID: "never"},
			func(context.Context, *gorm.DB) error { return errHandler })
		var attempts *inbox.AttemptsError
		require.ErrorAs(t, err, &attempts)
		require.ErrorIs(t, err, errHandler)
	})
}

func TestASavepointInTheHandlerIsRolledBackAlone(t *testing.T) {
	each(t, func(t *testing.T, db *gorm.DB, ib *inbox.Inbox) {
		outcome, err := inboxgorm.Process(t.Context(), ib, db, inbox.Message{ID: "m"},
			func(ctx context.Context, tx *gorm.DB) error {
				require.NoError(t, createInvoice(ctx, tx))
				err := tx.Transaction(func(nested *gorm.DB) error {
					require.NoError(t, createInvoice(ctx, nested))
					return errHandler
				})
				require.ErrorIs(t, err, errHandler)
				return tx.Transaction(func(nested *gorm.DB) error { return createInvoice(ctx, nested) })
			})
		require.NoError(t, err)
		require.Equal(t, inbox.Applied, outcome)
		require.Equal(t, int64(2), invoices(t, db))
	})
}

func TestAHandlerThatCommitsIsFoundOut(t *testing.T) {
	each(t, func(t *testing.T, db *gorm.DB, ib *inbox.Inbox) {
		for name, end := range map[string]func(*gorm.DB) *gorm.DB{"commit": (*gorm.DB).Commit,
			"rollback": (*gorm.DB).Rollback} {
			_, err := inboxgorm.Process(t.Context(), ib, db, inbox.Message{ID: name},
				func(_ context.Context, tx *gorm.DB) error {
					return end(tx).Error
				})
			require.ErrorIs(t, err, inbox.ErrHandlerEndedTx, name)
		}
	})
}

func TestAcceptInATransactionOfGorms(t *testing.T) {
	each(t, func(t *testing.T, db *gorm.DB, ib *inbox.Inbox) {
		m := inbox.Message{ID: "m", Position: &inbox.Position{Topic: "orders", Partition: 1, Offset: 2}}
		apply := func(fail error) (fresh bool, err error) {
			err = db.Transaction(func(tx *gorm.DB) error {
				fresh, err = inboxgorm.Accept(t.Context(), ib, tx, m)
				if err != nil || !fresh {
					return err
				}
				return errors.Join(createInvoice(t.Context(), tx), fail)
			})
			return fresh, err
		}
		fresh, err := apply(errHandler)
		require.ErrorIs(t, err, errHandler)
		require.True(t, fresh)
		for _, want := range []bool{true, false, false} {
			fresh, err = apply(nil)
			require.NoError(t, err)
			require.Equal(t, want, fresh)
		}
		require.Equal(t, int64(1), invoices(t, db))
	})
}

func TestAcceptInASavepointGoesWithIt(t *testing.T) {
	each(t, func(t *testing.T, db *gorm.DB, ib *inbox.Inbox) {
		m := inbox.Message{ID: "m"}
		require.NoError(t, db.Transaction(func(tx *gorm.DB) error {
			for range 2 { // rolled back to, it is fresh again
				err := tx.Transaction(func(nested *gorm.DB) error {
					fresh, err := inboxgorm.Accept(t.Context(), ib, nested, m)
					require.NoError(t, err)
					require.True(t, fresh)
					return errHandler
				})
				require.ErrorIs(t, err, errHandler)
			}
			fresh, err := inboxgorm.Accept(t.Context(), ib, tx.Session(&gorm.Session{PrepareStmt: true}), m)
			require.NoError(t, err)
			require.True(t, fresh)
			return nil
		}))
	})
}

func TestOutsideOrInsideATransactionAsEachNeedsIt(t *testing.T) {
	each(t, func(t *testing.T, db *gorm.DB, ib *inbox.Inbox) {
		m := inbox.Message{ID: "m"}
		for _, outside := range []*gorm.DB{db, db.WithContext(t.Context()), db.Model(&invoice{})} {
			_, err := inboxgorm.Accept(t.Context(), ib, outside, m)
			require.ErrorIs(t, err, inboxgorm.ErrNotInTransaction)
		}
		tx := db.Begin()
		require.NoError(t, tx.Error)
		outcome, err := inboxgorm.Process(t.Context(), ib, tx, m, createInvoice)
		require.ErrorIs(t, err, inboxgorm.ErrInTransaction)
		require.Equal(t, inbox.Failed, outcome)
		require.NoError(t, tx.Rollback().Error)

		for name, bad := range map[string]*gorm.DB{"nil": nil, "empty": {}} {
			_, err = inboxgorm.Accept(t.Context(), ib, bad, m)
			require.ErrorContains(t, err, "is nil", name)
			_, err = inboxgorm.Process(t.Context(), ib, bad, m, createInvoice)
			require.ErrorContains(t, err, "is nil", name)
		}
		failed := db.Session(&gorm.Session{})
		_ = failed.AddError(errHandler)
		_, err = inboxgorm.Accept(t.Context(), ib, failed, m)
		require.ErrorIs(t, err, errHandler)
		_, err = inboxgorm.Process(t.Context(), ib, db, m, nil)
		require.ErrorContains(t, err, "handler is nil")

		raw, err := db.DB()
		require.NoError(t, err)
		var n int
		require.NoError(t, raw.QueryRowContext(t.Context(), "SELECT count(*) FROM inbox_events").Scan(&n))
		require.Zero(t, n, "nothing was written")
	})
}

func TestRedeliveriesSideBySideTakeEffectOnce(t *testing.T) {
	each(t, func(t *testing.T, db *gorm.DB, ib *inbox.Inbox) {
		raw, err := db.DB()
		require.NoError(t, err)
		raw.SetMaxOpenConns(2) // so that a connection taken twice would show as a standstill
		var running sync.WaitGroup
		for range 4 {
			running.Go(func() {
				for n := range 20 {
					if _, err := inboxgorm.Process(t.Context(), ib, db, inbox.Message{ID: fmt.Sprint(n)},
						createInvoice); err != nil {
						t.Error(err)
					}
				}
			})
		}
		running.Wait()
		require.Equal(t, int64(20), invoices(t, db))
	})
}
