package relay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sqldb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/faultdb"
)

// Any statement of the relay may fail, whether it has taken effect or not, and the relay may live on or die
// with it. Nothing may be lost, and the first copies of a key must be in order. A relay that lives on repeats
// nothing. In exactly-once mode no relay does.
//
// The story contains everything: several keys, scheduled events, and an event that is rejected, parked with a
// later one behind it, and retried after the cause is repaired.

// misfortune is what happens to one statement.
type misfortune struct {
	name string
	hit  faultdb.Fault
	dies bool
}

func misfortunes() []misfortune {
	return []misfortune{
		{"is lost on its way", faultdb.LoseRequest(), false},
		{"takes effect, and its answer is lost", faultdb.LoseAnswer(), false},
		// Dying before a statement is the same as dying after the one before it.
		{"is the last, and takes effect", faultdb.LoseAnswer(), true},
	}
}

// place is the nth execution of a statement.
type place struct {
	statement string
	nth       int
}

// fates is a hook that makes one statement fail, and records all statements that it sees.
type fates struct {
	at    place
	with  misfortune
	death func()

	mu     sync.Mutex
	seen   map[string]int
	struck bool
	dead   bool
}

func (f *fates) hook(statement string) faultdb.Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dead {
		return faultdb.LoseRequest()
	}
	label := label(statement)
	f.seen[label]++
	if f.struck || label != f.at.statement || f.seen[label] != f.at.nth {
		return faultdb.Fault{}
	}
	f.struck = true
	if f.with.dies {
		f.dead = true
		f.death()
	}
	return f.with.hit
}

// label returns a statement without the parts that differ each time.
func label(statement string) string {
	statement = anyUUID.ReplaceAllString(strings.Join(strings.Fields(statement), " "), "UUID")
	statement = strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return '#'
		}
		return r
	}, statement)
	for strings.Contains(statement, "##") {
		statement = strings.ReplaceAll(statement, "##", "#")
	}
	return statement
}

var anyUUID = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

// occurrences is for how many executions of a kind of statement the test fails one: more for BEGIN and
// COMMIT, which transactions share, and few for others, which do the same each time. SQLite, where a run
// costs least, has more.
func occurrences(db dbtest.Database, statement string) int {
	many := db.Dialect == sqldb.SQLite
	switch shared := statement == faultdb.Begin || statement == faultdb.Commit; {
	case shared && many:
		return 8
	case shared:
		return 5
	case many:
		return 2
	}
	return 1
}

// story is one run.
type story struct {
	*exactly
	mode Mode

	what   string // what happens in this run
	mu     sync.Mutex
	down   bool // the relay has died: it has no effect any more
	mended bool // the cause of the rejection is repaired
}

func (s *story) refuse(r *Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.down:
		return errors.New("the process is gone")
	case string(r.Payload) == "p1" && !s.mended:
		return Rejected(errRefused)
	}
	return nil
}

func (s *story) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *story) values() []string {
	if s.mode == ExactlyOnce {
		return s.broker.values()
	}
	return s.sink.values()
}

func (s *story) config() Config {
	var r *Relay
	if s.mode == ExactlyOnce {
		r = s.exactly.relay()
	} else {
		r = s.bench.relay()
	}
	return r.cfg
}

var storyKeys = map[string]int{"a": 4, "p": 3, "c": 3, "s": 3}

func newStory(t *testing.T, db dbtest.Database, mode Mode) *story {
	s := &story{exactly: newExactly(t, db), mode: mode}
	s.cfg.Mode, s.cfg.Archive = mode, mode == ExactlyOnce // one of the two modes deletes in the other way
	s.sink.verdict, s.broker.verdict = s.refuse, s.refuse
	for _, table := range []string{"events", "scheduled", "parked", "drops", "archive"} {
		s.exec("DELETE FROM outbox_" + table)
	}
	s.exec("UPDATE outbox_leases SET source = NULL, owner = NULL, expires_at = NULL, mode = NULL, hints = '{}'")
	s.commit("a", "a1", "a2")
	s.commit("p", "p1", "p2")
	s.commit("c", "c1", "c2", "c3")
	s.commit("p", "p3")
	s.commit("a", "a3", "a4")
	due := time.Now().Add(-time.Hour)
	s.schedule(scheduledEvent("s", "s2", due), scheduledEvent("s", "s3", due),
		scheduledEvent("s", "s1", due.Add(-time.Second)))
	return s
}

// tell runs the story to its end. If the relay dies or gives up, another one continues.
func (s *story) tell(f *fates) {
	f.seen = make(map[string]int)
	f.death = func() { s.set(func() { s.down = true }) }
	faulty := faultdb.Open(s.db.DB, f.hook)
	defer faulty.Close()
	cfg := s.config()
	cfg.DB = faulty
	if f.with.dies {
		cfg.DrainTimeout = time.Millisecond
	}
	if s.run(cfg, f.hasDied) && !f.hasDied() {
		return
	}
	s.set(func() { s.down = false })
	s.expireLease()
	require.True(s.t, s.run(s.config(), func() bool { return false }), "the successor has ended early")
}

// run runs a relay until everything is delivered. It returns false if the relay died or gave up before that.
func (s *story) run(cfg Config, died func() bool) bool {
	r, err := New(cfg)
	require.NoError(s.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan struct{})
	go func() { defer close(ended); _ = r.Run(ctx) }()
	gaveUp, done := false, false
	defer func() {
		if s.t.Failed() {
			s.t.Logf("%s: published %v, parked %v, %d rows wait", s.what, s.values(), s.parked(), s.rows())
		}
	}()
	eventually(s.t, "everything is delivered, or the relay is gone", func() bool {
		select {
		case <-ended:
			gaveUp = true
			return true
		default:
		}
		if parked := s.parked(); slices.Contains(parked, "p1 failed") {
			s.set(func() { s.mended = true })
			s.ask("retry", "state = 'failed'")
		} else {
			// Look at the parked rows twice, because rows may have been parked in between. The looks follow
			// the path of an event. Otherwise an event could always be behind the look.
			done = len(parked) == 0 && s.scheduled() == 0 && s.empty() && len(s.parked()) == 0
		}
		return done || died()
	})
	cancel()
	if !gaveUp {
		<-ended
	}
	return done
}

func (f *fates) hasDied() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dead
}

// check compares the promises with what was published.
func (s *story) check(died bool) {
	s.t.Helper()
	values := s.values()
	first := slices.Clone(values)
	seen := make(map[string]bool)
	first = slices.DeleteFunc(first, func(v string) bool { again := seen[v]; seen[v] = true; return again })
	for key, n := range storyKeys {
		require.True(s.t, inOrder(first, key), "%s: out of order: %v", s.what, values)
		for _, v := range numbered(key, n) {
			require.True(s.t, seen[v], "%s: %s is lost: %v", s.what, v, values)
		}
	}
	if s.mode == ExactlyOnce || !died {
		require.Len(s.t, values, len(first), "%s: duplicates: %v", s.what, values)
	}
}

func TestAFaultAtAnyStatementBreaksNoPromise(t *testing.T) {
	for _, mode := range Modes() {
		for _, m := range misfortunes() {
			t.Run(string(mode)+"/"+m.name, func(t *testing.T) {
				t.Parallel() // most of the time they wait
				dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
					if db.Flavor == dbtest.FlavorPostgreSQL18 {
						return // the statements are the same as on 15, and there are hundreds of runs
					}
					strikeEverywhere(t, db, mode, m)
				})
			})
		}
	}
}

// strikeEverywhere runs the story once for each place at which m may happen.
func strikeEverywhere(t *testing.T, db dbtest.Database, mode Mode, m misfortune) {
	dry := &fates{}
	s := newStory(t, db, mode)
	s.tell(dry)
	s.check(false)
	statements := slices.Sorted(maps.Keys(dry.seen))
	require.Greater(t, len(statements), 10, "the hook sees the relay's statements")
	struck := 0
	for _, statement := range statements {
		for nth := range min(occurrences(db, statement), dry.seen[statement]) {
			f := &fates{at: place{statement, nth + 1}, with: m}
			s := newStory(t, db, mode)
			s.what = fmt.Sprintf("%.90s (%d.) %s", statement, nth+1, m.name)
			s.tell(f)
			s.check(m.dies && f.struck)
			if !f.struck {
				break
			}
			struck++
		}
	}
	require.Greater(t, 3*struck, 2*len(statements), "most statements were struck")
	t.Logf("%d statements, struck %d times", len(statements), struck)
}
