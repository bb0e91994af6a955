package relay_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	sqldb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/faultdb"
	"github.com/postroom/postroom/internal/store/outbox"
	"github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/migrations"
)

func migrateElsewhere(t *testing.T, db dbtest.Database) sqldb.Names {
	t.Helper()
	names := sqldb.Names{Dialect: db.Dialect, Prefix: "eu_"}
	if db.Dialect == sqldb.PostgreSQL {
		names.Schema = "order"
	}
	_, err := migrations.Apply(
		t.Context(), db.DB, db.Dialect, migrations.Options{Prefix: names.Prefix, Schema: names.Schema},
	)
	require.NoError(t, err)
	return names
}

// eachWithLocks runs f on the databases on which several transactions can write at the same time.
func eachWithLocks(t *testing.T, f func(t *testing.T, db dbtest.Database)) {
	for name, open := range map[string]func(testing.TB) dbtest.Database{
		"postgresql15": dbtest.PostgreSQL, "postgresql18": dbtest.PostgreSQL18, "mariadb": dbtest.MariaDB,
	} {
		t.Run(name, func(t *testing.T) { f(t, dbtest.Migrate(t, open(t))) })
	}
}

// Hazard move-beside-writer.
// A writer with StrictKeyOrder has written an event of k and not committed. If a scheduled event of k were
// moved now, it would be visible, and be delivered, before that one.
func TestAKeyThatAWriterHasLockedIsPassedOver(t *testing.T) {
	eachWithLocks(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		l := mustClaim(t, r)
		ob := newOutbox(t, db)
		writer := begin(t, db.DB, nil)
		key := sqldb.EventKey{Topic: "orders", Key: "k"}
		require.NoError(t, ob.LockKeys(t.Context(), writer, []sqldb.EventKey{key}))
		require.NoError(t, ob.InsertEvents(t.Context(), writer, []outbox.EventRow{at("k", "written", 0)}))

		// More rows of k than one look returns come before all others.
		for i := range 25 {
			schedule(t, db, at("k", fmt.Sprint("k", i), -time.Hour))
		}
		schedule(
			t, db, at("other", "o1", -time.Minute), at("", "none", -time.Minute), at("k", "last", -time.Minute),
			at("other", "o2", -time.Minute),
		)
		require.Equal(t, 3, moveAll(t, r, l, 10))
		require.Equal(t, "o1 none o2", movedNames(t, db))

		require.NoError(t, writer.Commit())
		require.Equal(t, 26, moveAll(t, r, l, 10))
		require.True(t, strings.HasSuffix(
			movedNames(t, db),
			" k0 k1 k2 k3 k4 k5 k6 k7 k8 k9 k10 k11 k12 k13 k14 k15 k16 k17 k18 k19 k20 k21 k22 k23 k24 last",
		), movedNames(t, db))
		require.True(t, strings.HasPrefix(movedNames(t, db), "written "), "it was written first")
	})
}

// Hazard move-beside-writer.
// The other way round, a writer of the key waits until the move has committed.
func TestAMoveHoldsTheLocksOfItsKeys(t *testing.T) {
	eachWithLocks(t, func(t *testing.T, db dbtest.Database) {
		schedule(t, db, at("k", "scheduled", -time.Second))
		writing := make(chan error, 1)
		moving := atLeaseLock(db, func() {
			started := make(chan struct{})
			go func() {
				tx, err := db.DB.BeginTx(context.Background(), nil)
				close(started)
				if err == nil {
					err = newOutbox(t, db).LockKeys(
						context.Background(), tx, []sqldb.EventKey{{Topic: "orders", Key: "k"}},
					)
				}
				if err == nil {
					err = newOutbox(t, db).InsertEvents(
						context.Background(), tx, []outbox.EventRow{at("k", "written", 0)},
					)
				}
				if err == nil {
					err = tx.Commit()
				}
				writing <- err
			}()
			<-started
			waitsForALock(t, db)
		})
		defer moving.Close()
		r, err := relay.New(moving, sqldb.Names{Dialect: db.Dialect}, relay.Options{})
		require.NoError(t, err)
		moved, _, err := r.MoveDue(t.Context(), mustClaim(t, newRelay(t, db)), 10)
		require.NoError(t, err)
		require.Equal(t, 1, moved)
		require.NoError(t, <-writing)
		require.Equal(t, "scheduled written", movedNames(t, db))
	})
}

// atLeaseLock calls f when a move is about to lock the lease row, which is its last step before the commit.
func atLeaseLock(db dbtest.Database, f func()) *sql.DB {
	var once sync.Once
	return faultdb.Open(db.DB, func(statement string) faultdb.Fault {
		if strings.HasPrefix(statement, "SELECT owner, epoch, ") {
			once.Do(f)
		}
		return faultdb.Fault{}
	})
}

// waitsForALock waits until a transaction of this database waits for a lock.
func waitsForALock(t *testing.T, db dbtest.Database) {
	t.Helper()
	require.Eventually(t, func() bool { return lockWaiters(t, db) > 0 }, 30*time.Second, 10*time.Millisecond)
}

func lockWaiters(t *testing.T, db dbtest.Database) (n int) {
	t.Helper()
	if db.Dialect == sqldb.PostgreSQL {
		require.NoError(t, db.DB.QueryRowContext(t.Context(),
			"SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "+
				"AND wait_event_type = 'Lock'").Scan(&n))
		return n
	}
	// information_schema.innodb_trx may be an old copy. A session that is executing one of our statements for
	// a while is waiting.
	require.NoError(t, db.DB.QueryRowContext(t.Context(), `SELECT count(*) FROM information_schema.processlist
WHERE db = database() AND id <> connection_id() AND time_ms > 100 AND info LIKE '%outbox%'
AND command <> 'Sleep'`).Scan(&n))
	return n
}

// Hazard cancel-race.
// A Cancel has locked row a1 and may still roll back. a0 and a2 have the same key.
func TestARowThatIsBeingCancelledHoldsUpItsKeyAlone(t *testing.T) {
	eachWithLocks(t, func(t *testing.T, db dbtest.Database) {
		for _, commit := range []bool{false, true} {
			exec(t, db.DB, "DELETE FROM outbox_events")
			r := newRelay(t, db)
			l := mustClaim(t, r)
			a1, none1 := at("a", "a1", -time.Minute), at("", "none1", -time.Minute)
			schedule(t, db, at("a", "a0", -time.Hour), a1, none1)
			schedule(t, db, at("b", "b1", -time.Second), at("a", "a2", -time.Second), at("", "none2", -time.Second))
			cancelling := begin(t, db.DB, nil)
			n, err := newOutbox(t, db).Cancel(t.Context(), cancelling, []uuid.UUID{a1.EventID, none1.EventID})
			require.NoError(t, err)
			require.EqualValues(t, 2, n)

			moved, _, err := r.MoveDue(t.Context(), l, 10)
			require.NoError(t, err)
			require.Equal(t, 3, moved)
			schedule(t, db, at("b", "b2", -time.Second), at("", "none3", -time.Second))
			require.Equal(t, 2, moveAll(t, r, l, 2), "beyond the two that are locked")
			require.Equal(t, "a0 b1 none2 b2 none3", movedNames(t, db))
			want := "a0 b1 none2 b2 none3 a1 none1 a2"
			if commit {
				want = "a0 b1 none2 b2 none3 a2"
				require.NoError(t, cancelling.Commit())
			} else {
				require.NoError(t, cancelling.Rollback())
			}
			moveAll(t, r, l, 10)
			require.Equal(t, want, movedNames(t, db))
			require.NoError(t, r.HandOver(t.Context(), l, uuid.Nil))
		}
	})
}

func TestACancelThatMeetsAMoveComesTooLate(t *testing.T) {
	eachWithLocks(t, func(t *testing.T, db dbtest.Database) {
		due := at("k", "due", -time.Second)
		schedule(t, db, due)
		type answer struct {
			n   int64
			err error
		}
		cancelled := make(chan answer, 1)
		moving := atLeaseLock(db, func() {
			go func() {
				n, err := newOutbox(t, db).Cancel(context.Background(), db.DB, []uuid.UUID{due.EventID})
				cancelled <- answer{n, err}
			}()
			waitsForALock(t, db)
		})
		defer moving.Close()
		r, err := relay.New(moving, sqldb.Names{Dialect: db.Dialect}, relay.Options{})
		require.NoError(t, err)
		moved, _, err := r.MoveDue(t.Context(), mustClaim(t, newRelay(t, db)), 10)
		require.NoError(t, err)
		require.Equal(t, 1, moved)
		require.Equal(t, answer{}, <-cancelled)
		require.Equal(t, "due", movedNames(t, db))
	})
}

// Hazard paused-mover.
// The zombie has copied the row when its successor claims the lease and moves the row too. The zombie must
// not commit. Otherwise the row would be there twice.
func TestALeaseThatIsLostDuringAMoveTakesItBack(t *testing.T) {
	eachWithLocks(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		schedule(t, db, at("k", "due", -time.Second))
		zombies := mustClaim(t, r)
		var successors relay.Lease
		moving := atLeaseLock(db, func() {
			expire(t, db)
			successors = mustClaim(t, r)
			moved, _, err := r.MoveDue(t.Context(), successors, 10)
			require.NoError(t, err)
			require.Zero(t, moved, "the row is locked still")
		})
		defer moving.Close()
		zombie, err := relay.New(moving, sqldb.Names{Dialect: db.Dialect}, relay.Options{})
		require.NoError(t, err)
		_, _, err = zombie.MoveDue(t.Context(), zombies, 10)
		require.ErrorIs(t, err, relay.ErrLeaseLost)
		require.Equal(t, "due", scheduledNames(t, db))
		require.Zero(t, countRows(t, db))
		require.Equal(t, 1, moveAll(t, r, successors, 10))
		require.Equal(t, "due", movedNames(t, db))
	})
}

// Hazard paused-mover.
// No successor can claim between the check of the lease and the commit.
func TestAClaimWaitsForAMoveThatIsAboutToCommit(t *testing.T) {
	eachWithLocks(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		schedule(t, db, at("k", "due", -time.Second))
		l := mustClaim(t, r)
		claimed := make(chan int, 1)
		moving := faultdb.Open(db.DB, func(statement string) faultdb.Fault {
			if statement == faultdb.Commit {
				go func() {
					exec(t, db.DB, "UPDATE outbox_leases SET expires_at = NULL")
					_, _, err := r.Claim(
						context.Background(), relay.Claim{Owner: uuid.New(), Mode: "at-least-once", TTL: time.Hour},
					)
					if err != nil {
						t.Error(err)
					}
					claimed <- countRows(t, db)
				}()
				waitsForALock(t, db)
			}
			return faultdb.Fault{}
		})
		defer moving.Close()
		owner, err := relay.New(moving, sqldb.Names{Dialect: db.Dialect}, relay.Options{})
		require.NoError(t, err)
		moved, _, err := owner.MoveDue(t.Context(), l, 10)
		require.NoError(t, err)
		require.Equal(t, 1, moved)
		require.Equal(t, 1, <-claimed, "the successor finds it moved")
	})
}

// Hazard paused-mover.
// Somebody alters outbox_events, and the INSERT waits for as long as that takes. If the lease row were locked
// in this time, no renewal would succeed.
func TestRenewalsDoNotWaitForAMove(t *testing.T) {
	eachWithLocks(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		l := mustClaim(t, r)
		schedule(t, db, at("k", "due", -time.Second))
		altering, err := db.DB.Conn(t.Context())
		require.NoError(t, err)
		lock, unlock := []string{"BEGIN", "LOCK TABLE outbox_events IN SHARE MODE"}, "ROLLBACK"
		if db.Dialect == sqldb.MySQL {
			lock, unlock = []string{"LOCK TABLES outbox_events READ"}, "UNLOCK TABLES"
		}
		for _, statement := range lock {
			_, err := altering.ExecContext(t.Context(), statement)
			require.NoError(t, err)
		}
		moved := make(chan error, 1)
		go func() {
			_, _, err := r.MoveDue(context.Background(), l, 10)
			moved <- err
		}()
		waitsForALock(t, db)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		require.NoError(t, r.Renew(ctx, l, time.Hour))
		require.Empty(t, moved, "the move waits still")
		_, err = altering.ExecContext(t.Context(), unlock)
		require.NoError(t, err)
		require.NoError(t, altering.Close())
		require.NoError(t, <-moved)
		require.Equal(t, "due", movedNames(t, db))
	})
}

// Hazard move-beside-writer.
// Applications schedule events, cancel them, and hold keys for their whole transaction, in the order that
// deadlocks with a mover that waits. None of them may get an error.
func TestMovingNeverFailsAnApplication(t *testing.T) {
	eachWithLocks(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		l := mustClaim(t, r)
		ob := newOutbox(t, db)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		var moving sync.WaitGroup
		moving.Go(func() {
			for ctx.Err() == nil {
				_, _, _ = r.MoveDue(ctx, l, 50)
			}
		})
		var writing sync.WaitGroup
		for w := range 4 {
			writing.Go(func() {
				key := fmt.Sprint("key", w)
				for i := range 25 {
					rows := []outbox.EventRow{
						at(key, "a", 0), at(key, "b", 3*time.Millisecond), at(key, "c", time.Millisecond),
						at("", "d", 0),
					}
					ids := []uuid.UUID{rows[0].EventID, rows[1].EventID, rows[3].EventID}
					if err := ob.ScheduleEvents(ctx, db.DB, rows); err != nil {
						t.Errorf("schedule: %v", err)
						return
					}
					if err := strictCancel(ctx, db, ob, key, ids, i%2 == 0); err != nil {
						t.Errorf("transaction %d of %s: %v", i, key, err)
						return
					}
				}
			})
		}
		writing.Wait()
		stop()
		moving.Wait()
	})
}

// strictCancel writes an event of the key under the key's lock, and then cancels others.
func strictCancel(
	ctx context.Context, db dbtest.Database, ob *outbox.Store, key string, ids []uuid.UUID, commit bool,
) error {
	tx, err := db.DB.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if err := ob.LockKeys(ctx, tx, []sqldb.EventKey{{Topic: "orders", Key: key}}); err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	if err := ob.InsertEvents(ctx, tx, []outbox.EventRow{at(key, "direct", 0)}); err != nil {
		return fmt.Errorf("insert: %w", err)
	}
	if _, err := ob.Cancel(ctx, tx, ids); err != nil {
		return fmt.Errorf("cancel: %w", err)
	}
	if !commit {
		return nil
	}
	return tx.Commit()
}
