package inbox

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	store "github.com/postroom/postroom/internal/store/inbox"
)

// stallAfter is how long a statement of the inbox may wait before that is said in the log. A member that stands still
// with its transaction open, because its host is paused or without power, keeps its locks until the server finds out,
// and its successor waits for them: for hours, if nothing limits that.
const stallAfter = 10 * time.Second

// lockWait is a wait for another session's lock, over the repetitions of a transaction: a lock timeout ends the
// statement, and not the wait.
type lockWait struct {
	since time.Time // zero: nobody waits
	said  bool
}

// watch says in the log when what begins now takes longer than stallAfter, and who holds it up, and, when the
// function that it returns is called with the outcome, that it is over. SQLite has no such waits: its busy
// timeout ends them.
func (ib *Inbox) watch(ctx context.Context, db *sql.DB, s *lockWait, about ...any) (over func(err error)) {
	if ib.names.Dialect == SQLite {
		return func(error) {}
	}
	if s.since.IsZero() {
		s.since = time.Now()
	}
	ctx, cancel := context.WithCancel(ctx)
	asked := make(chan struct{})
	var timer *time.Timer
	if !s.said {
		timer = time.AfterFunc(max(ib.stallAfter-time.Since(s.since), 0), func() {
			defer close(asked)
			ib.sayWaiting(ctx, db, about)
		})
	}
	return func(err error) {
		cancel()
		if timer != nil && !timer.Stop() {
			<-asked
			s.said = true
		}
		if err != nil && databaseFailure(err).kind == conflict {
			return // tried again
		}
		if s.said {
			ib.log.Info("inbox: the wait for another session's lock is over",
				append(about, "waited", time.Since(s.since), "error", err)...)
		}
		*s = lockWait{}
	}
}

// sayWaiting asks by another connection whom the statement waits for.
func (ib *Inbox) sayWaiting(ctx context.Context, db *sql.DB, about []any) {
	const patience = 5 * time.Second
	asking, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	waits, err := ib.store.LockWaits(asking, db)
	if ctx.Err() != nil && err != nil {
		about = append(about, "blocked_by", "it ended as this was asked")
	} else {
		about = append(about, blockedBy(ib.names.Dialect, waits, err)...)
	}
	ib.log.Warn("inbox: a statement waits for the database, most likely for a lock of another session that "+
		"stands still with its transaction open; "+
		"the messages behind it wait as well (docs/consumers.md says what limits this)",
		append(about, "waiting", ib.stallAfter)...)
}

// blockedBy says whom the sessions that wait for the inbox's tables wait for: this one is one of them.
func blockedBy(d Dialect, waits []store.LockWait, err error) (about []any) {
	switch {
	case err != nil:
		return []any{"blocked_by",
			fmt.Sprintf("not known, for the database does not tell it (on MySQL the user needs the "+
				"right PROCESS): %v", err)}
	case len(waits) == 0:
		return []any{"blocked_by", "nobody that this database user can see"}
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
