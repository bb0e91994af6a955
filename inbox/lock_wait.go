package inbox

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	store "github.com/postroom/postroom/internal/store/inbox"
)

// stallAfter is how long a statement of the inbox may wait for a lock before the log says so. A member whose host
// is paused or has lost power keeps its transaction open and its locks, until the server notices. Its successor
// waits for these locks: for hours, if no server setting limits that.
const stallAfter = 10 * time.Second

// lockWait is a wait for a lock of another session. It lasts over the repetitions of a transaction: a lock timeout
// ends the statement, and not the wait.
type lockWait struct {
	since  time.Time // zero: no wait
	logged bool
}

// watch logs when what begins now takes longer than stallAfter, and who holds the lock. Call the function that it
// returns with the outcome; it logs that the wait is over. SQLite has no such waits, because its busy timeout ends
// them.
func (ib *Inbox) watch(ctx context.Context, db *sql.DB, s *lockWait, about ...any) (over func(err error)) {
	if ib.names.Dialect == SQLite {
		return func(error) {}
	}
	if s.since.IsZero() {
		s.since = time.Now()
	}
	ctx, cancel := context.WithCancel(ctx)
	logged := make(chan struct{})
	var timer *time.Timer
	if !s.logged {
		timer = time.AfterFunc(max(ib.stallAfter-time.Since(s.since), 0), func() {
			defer close(logged)
			ib.logWait(ctx, db, about)
		})
	}
	return func(err error) {
		cancel()
		if timer != nil && !timer.Stop() {
			<-logged
			s.logged = true
		}
		if err != nil && databaseFailure(err).kind == conflict {
			return // tried again
		}
		if s.logged {
			ib.log.Info("inbox: the wait for another session's lock is over",
				append(about, "waited", time.Since(s.since), "error", err)...)
		}
		*s = lockWait{}
	}
}

// logWait logs that a statement waits. By another connection it asks which sessions hold the lock.
func (ib *Inbox) logWait(ctx context.Context, db *sql.DB, about []any) {
	const patience = 5 * time.Second
	asking, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	waits, err := ib.store.LockWaits(asking, db)
	if ctx.Err() != nil && err != nil {
		about = append(about, "blocked_by", "not known: the wait ended before the database answered")
	} else {
		about = append(about, blockedBy(ib.names.Dialect, waits, err)...)
	}
	ib.log.Warn("inbox: a statement waits for the database, most likely for a lock of a session that is idle "+
		"in an open transaction; the messages behind it wait as well (docs/consumers.md says how to limit this)",
		append(about, "waiting", ib.stallAfter)...)
}

// blockedBy returns which sessions hold the locks that sessions wait for on the tables of the inbox. The session of
// this statement is one of those that wait.
func blockedBy(d Dialect, waits []store.LockWait, err error) (about []any) {
	switch {
	case err != nil:
		return []any{"blocked_by", fmt.Sprintf(
			"not known: this user may not see other sessions (on MySQL it needs the right PROCESS): %v", err)}
	case len(waits) == 0:
		return []any{"blocked_by", "no session that this database user can see"}
	}
	seen := map[int64]bool{}
	for _, w := range waits {
		if !seen[w.Holder.Session] {
			seen[w.Holder.Session] = true
			about = append(about, "blocked_by", w.Holder.String(), "to_end_it", w.Holder.End(d))
		}
	}
	return about
}
