package outboxgorm_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"gorm.io/gorm"

	"github.com/postroom/postroom/internal/gormtest"
	"github.com/postroom/postroom/outbox"
	"github.com/postroom/postroom/outbox/outboxgorm"
	"github.com/postroom/postroom/outbox/outboxtest"
)

func TestMain(m *testing.M) {
	// gorm's cache of prepared statements has a goroutine that nothing ends.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("gorm.io/gorm/internal/lru.NewLRU[...].func1"))
}

func each(t *testing.T, fn func(t *testing.T, db gormtest.Database)) {
	t.Helper()
	gormtest.Each(t, fn, &order{})
}

// order is a model that says in its hook what has happened to it.
type order struct {
	ID     uint `gorm:"primaryKey"`
	Number string

	ob *outbox.Outbox // nil: the hook does nothing
}

func (o *order) AfterCreate(tx *gorm.DB) error {
	if o.ob == nil {
		return nil
	}
	return outboxgorm.Add(tx.Statement.Context, o.ob, tx, placed(o.Number))
}

func placed(number string) outbox.Event {
	return outbox.Event{Topic: "orders", Key: number, Type: "order.placed", Payload: []byte("{}")}
}

func newOutbox(t *testing.T, db gormtest.Database, opts ...outbox.Option) *outbox.Outbox {
	t.Helper()
	ob, err := outbox.New(db.Dialect, opts...)
	require.NoError(t, err)
	return ob
}

// requireKeys checks which events wait, by their keys, and empties the table.
func requireKeys(t *testing.T, g *gorm.DB, ob *outbox.Outbox, keys ...string) {
	t.Helper()
	raw, err := g.DB()
	require.NoError(t, err)
	want := make([]outbox.Event, len(keys))
	for i, key := range keys {
		want[i] = placed(key)
	}
	outboxtest.RequireEvents(t, raw, ob, want...)
	_, err = raw.ExecContext(t.Context(), "DELETE FROM outbox_events")
	require.NoError(t, err)
}

var errCallers = errors.New("the caller's own")

func TestAddFollowsTheTransaction(t *testing.T) {
	each(t, func(t *testing.T, db gormtest.Database) {
		for name, cfg := range map[string]gorm.Config{
			"plainly": {}, "with PrepareStmt": {PrepareStmt: true},
			"with SkipDefaultTransaction": {SkipDefaultTransaction: true},
		} {
			for _, opts := range [][]outbox.Option{nil, {outbox.StrictKeyOrder()}} {
				ob := newOutbox(t, db, opts...)
				g := db.Open(t, cfg)
				t.Run(name+", committed", func(t *testing.T) { commits(t, g, ob) })
				t.Run(name+", rolled back", func(t *testing.T) { rollsBack(t, g, ob) })
				t.Run(name+", nested", func(t *testing.T) { nests(t, g, ob) })
				t.Run(name+", by hand", func(t *testing.T) { byHand(t, g, ob) })
			}
		}
	})
}

func commits(t *testing.T, g *gorm.DB, ob *outbox.Outbox) {
	for range 2 { // a prepared statement is used again
		require.NoError(t, g.Transaction(func(tx *gorm.DB) error {
			require.NoError(t, tx.Create(&order{Number: "1"}).Error)
			require.NoError(t, outboxgorm.Add(t.Context(), ob, tx, placed("1")))
			return outboxgorm.Add(t.Context(), ob, tx, placed("2"), placed("3"))
		}))
		requireKeys(t, g, ob, "1", "2", "3")
	}
}

func rollsBack(t *testing.T, g *gorm.DB, ob *outbox.Outbox) {
	require.ErrorIs(t, g.Transaction(func(tx *gorm.DB) error {
		require.NoError(t, outboxgorm.Add(t.Context(), ob, tx, placed("1")))
		return errCallers
	}), errCallers)
	requireKeys(t, g, ob)
}

func nests(t *testing.T, g *gorm.DB, ob *outbox.Outbox) {
	require.NoError(t, g.Transaction(func(tx *gorm.DB) error {
		require.NoError(t, outboxgorm.Add(t.Context(), ob, tx, placed("outer")))
		require.ErrorIs(t, tx.Transaction(func(inner *gorm.DB) error {
			require.NoError(t, outboxgorm.Add(t.Context(), ob, inner, placed("inner, rolled back")))
			return errCallers
		}), errCallers)
		return tx.Transaction(func(inner *gorm.DB) error {
			return outboxgorm.Add(t.Context(), ob, inner, placed("inner"))
		})
	}))
	requireKeys(t, g, ob, "outer", "inner")
}

func byHand(t *testing.T, g *gorm.DB, ob *outbox.Outbox) {
	tx := g.Begin()
	require.NoError(t, outboxgorm.Add(t.Context(), ob, tx, placed("1")))
	require.NoError(t, outboxgorm.Add(t.Context(), ob, tx.WithContext(t.Context()).Model(&order{}), placed("2")))
	require.NoError(t, tx.Commit().Error)
	err := outboxgorm.Add(t.Context(), ob, tx, placed("3"))
	require.ErrorIs(t, err, sql.ErrTxDone)
	require.ErrorContains(t, err, "add events before Commit")
	requireKeys(t, g, ob, "1", "2")

	tx = g.Begin()
	require.NoError(t, outboxgorm.Add(t.Context(), ob, tx, placed("1")))
	require.NoError(t, tx.Rollback().Error)
	requireKeys(t, g, ob)
}

func TestEventsAreScheduledAndCancelledInTheTransaction(t *testing.T) {
	each(t, func(t *testing.T, db gormtest.Database) {
		ob := newOutbox(t, db)
		for name, cfg := range map[string]gorm.Config{"plainly": {}, "with PrepareStmt": {PrepareStmt: true}} {
			t.Run(name, func(t *testing.T) {
				g := db.Open(t, cfg)
				raw, err := g.DB()
				require.NoError(t, err)
				at := time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)
				reminder := placed("later")
				reminder.ID, reminder.DeliverAt = uuid.New(), at
				cancel := func(db *gorm.DB) int64 {
					n, err := outboxgorm.Cancel(t.Context(), ob, db, reminder.ID, uuid.New())
					require.NoError(t, err)
					return n
				}
				require.NoError(t, g.Transaction(func(tx *gorm.DB) error {
					return outboxgorm.Add(t.Context(), ob, tx, placed("now"), reminder)
				}))
				require.ErrorIs(t, g.Transaction(func(tx *gorm.DB) error {
					require.EqualValues(t, 1, cancel(tx))
					return errCallers
				}), errCallers)
				require.Equal(t, []outbox.Event{reminder}, outboxtest.Scheduled(t, raw, ob))
				require.NoError(t, g.Transaction(func(tx *gorm.DB) error {
					require.EqualValues(t, 1, cancel(tx))
					return nil
				}))
				require.Empty(t, outboxtest.Scheduled(t, raw, ob))
				requireKeys(t, g, ob, "now")

				_, err = outboxgorm.Cancel(t.Context(), ob, g, reminder.ID)
				require.ErrorIs(t, err, outbox.ErrNoTransaction)
				require.Zero(t, cancel(g.Session(&gorm.Session{DryRun: true})))
			})
		}
	})
}

func TestAddWorksInHooks(t *testing.T) {
	each(t, func(t *testing.T, db gormtest.Database) {
		ob := newOutbox(t, db)
		for name, cfg := range map[string]gorm.Config{"plainly": {}, "with PrepareStmt": {PrepareStmt: true}} {
			t.Run(name, func(t *testing.T) {
				g := db.Open(t, cfg)
				require.NoError(t, g.Create(&order{Number: "1", ob: ob}).Error, "in gorm's own transaction")
				require.NoError(t, g.Create([]*order{{Number: "2", ob: ob}, {Number: "3", ob: ob}}).Error)
				requireKeys(t, g, ob, "1", "2", "3")

				require.ErrorIs(t, g.Transaction(func(tx *gorm.DB) error {
					require.NoError(t, tx.Create(&order{Number: "4", ob: ob}).Error)
					return errCallers
				}), errCallers)
				requireKeys(t, g, ob)
			})
		}
		t.Run("without a transaction the hook fails and nothing is written", func(t *testing.T) {
			g := db.Open(t, gorm.Config{SkipDefaultTransaction: true})
			require.ErrorIs(t, g.Create(&order{Number: "5", ob: ob}).Error, outbox.ErrNoTransaction)
			requireKeys(t, g, ob)
		})
	})
}

// gorm keeps each statement text that it prepares; batches of all sizes must not fill it.
func TestAddPreparesTheStatementOfOneEventOnly(t *testing.T) {
	each(t, func(t *testing.T, db gormtest.Database) {
		g := db.Open(t, gorm.Config{PrepareStmt: true})
		prepared, ok := g.ConnPool.(*gorm.PreparedStmtDB)
		require.True(t, ok)
		ob := newOutbox(t, db)
		require.NoError(t, g.Transaction(func(tx *gorm.DB) error {
			for size := 1; size <= 20; size++ {
				events := make([]outbox.Event, size)
				for i := range events {
					events[i] = placed(fmt.Sprint(i))
				}
				if err := outboxgorm.Add(t.Context(), ob, tx, events...); err != nil {
					return err
				}
			}
			return nil
		}))
		require.Len(t, prepared.Stmts.Keys(), 1)
	})
}

func TestAddRefusesAGormDBThatIsNotInATransaction(t *testing.T) {
	each(t, func(t *testing.T, db gormtest.Database) {
		ob := newOutbox(t, db)
		for name, g := range map[string]*gorm.DB{
			"plainly":          db.Open(t, gorm.Config{}),
			"with PrepareStmt": db.Open(t, gorm.Config{PrepareStmt: true}),
			"a session":        db.Open(t, gorm.Config{}).Session(&gorm.Session{NewDB: true}).WithContext(t.Context()),
		} {
			t.Run(name, func(t *testing.T) {
				err := outboxgorm.Add(t.Context(), ob, g, placed("1"))
				require.ErrorIs(t, err, outbox.ErrNoTransaction)
				require.ErrorContains(t, err, "use the one that db.Transaction or db.Begin gives")
				require.NoError(t, g.Connection(func(conn *gorm.DB) error {
					require.ErrorIs(
						t, outboxgorm.Add(t.Context(), ob, conn, placed("1")), outbox.ErrNoTransaction,
						"one connection is no transaction",
					)
					return nil
				}))
				requireKeys(t, g, ob)
			})
		}
		t.Run("nil", func(t *testing.T) {
			require.ErrorIs(t, outboxgorm.Add(t.Context(), ob, nil, placed("1")), outbox.ErrNoTransaction)
			require.ErrorIs(t, outboxgorm.Add(t.Context(), ob, &gorm.DB{}, placed("1")), outbox.ErrNoTransaction)
		})
		t.Run("a Begin that failed", func(t *testing.T) {
			for _, prepare := range []bool{false, true} {
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				tx := db.Open(t, gorm.Config{PrepareStmt: prepare}).WithContext(ctx).Begin()
				require.ErrorIs(t, outboxgorm.Add(t.Context(), ob, tx, placed("1")), context.Canceled)
			}
		})
	})
}

func TestAddHonoursItsContextAndReturnsTheOutboxsErrors(t *testing.T) {
	each(t, func(t *testing.T, db gormtest.Database) {
		g, ob := db.Open(t, gorm.Config{}), newOutbox(t, db)
		require.ErrorIs(t, g.Transaction(func(tx *gorm.DB) error {
			require.ErrorIs(t, outboxgorm.Add(t.Context(), ob, tx, outbox.Event{}), outbox.ErrNoTopic)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			return outboxgorm.Add(ctx, ob, tx, placed("1"))
		}), context.Canceled)
		requireKeys(t, g, ob)
	})
}

func TestDryRunChecksAndWritesNothing(t *testing.T) {
	each(t, func(t *testing.T, db gormtest.Database) {
		g, ob := db.Open(t, gorm.Config{}), newOutbox(t, db)
		require.NoError(t, g.Transaction(func(tx *gorm.DB) error {
			dry := tx.Session(&gorm.Session{DryRun: true})
			require.NoError(t, outboxgorm.Add(t.Context(), ob, dry, placed("1")))
			require.ErrorIs(t, outboxgorm.Add(t.Context(), ob, dry, outbox.Event{}), outbox.ErrNoTopic)
			_, err := outboxgorm.Tx(dry)
			require.ErrorIs(t, err, outboxgorm.ErrDryRun)
			return nil
		}))
		statement := g.ToSQL(func(tx *gorm.DB) *gorm.DB { return tx.Create(&order{Number: "1", ob: ob}) })
		require.Contains(t, statement, "INSERT INTO", "a hook that adds an event does not get in ToSQL's way")
		requireKeys(t, g, ob)
	})
}
