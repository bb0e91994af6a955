package relay

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	sqldb "github.com/postroom/postroom/internal/db"
	store "github.com/postroom/postroom/internal/store/relay"
)

// The model has writers, two relays that take the lease from each other, a broker, an operator, and faults
// between any two steps. The steps are those of the real session, on a database in memory. They run one at a
// time, in an order that rapid chooses:
//
//	write, commit, roll back · claim, read and deliver, acknowledge, delete, probe the
//	writers, save the checkpoint · outage, rejection, lost answers · crash, pause beyond the lease · a standby
//	that lags is promoted under the live relays · request a retry or a drop, repair the cause
//
// At the end all faults are repaired, one relay handles the rest, and the promises are compared with the
// broker's log.

// modelChecks is how many runs the model makes in each mode.
const modelChecks = 10_000

func TestTheModelKeepsThePromises(t *testing.T) {
	checks := flag.Lookup("rapid.checks")
	if checks.Value.String() == checks.DefValue {
		require.NoError(t, checks.Value.Set(fmt.Sprint(modelChecks)))
		t.Cleanup(func() { _ = checks.Value.Set(checks.DefValue) })
	}
	for _, mode := range Modes() {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(rt *rapid.T) { newModel(rt, mode).play() })
		})
	}
}

type model struct {
	t    *rapid.T
	mode Mode
	db   *memDB

	writers  []*modelWriter
	versions map[string]int
	locked   map[string]bool
	written  map[uuid.UUID]string // committed events
	poison   map[uuid.UUID]bool
	ended    []uuid.UUID // rolled back

	standby   *modelStandby
	failovers int
	undone    map[uuid.UUID]bool // committed, and lost with a primary

	relays  [2]*modelRelay
	healing bool

	broker *txBroker // only in exactly-once mode
	log    []published
	// repeats is true after something that may cause duplicates in at-least-once mode.
	repeats bool
}

type modelWriter struct {
	name string
	key  string
	rows []store.Row
}

// modelStandby is the content of a standby.
type modelStandby struct {
	db       *memDB
	versions map[string]int
	written  map[uuid.UUID]string
}

func newModel(t *rapid.T, mode Mode) *model {
	m := &model{
		t: t, mode: mode, db: &memDB{open: map[string]bool{}}, versions: map[string]int{}, locked: map[string]bool{},
		written: map[uuid.UUID]string{}, poison: map[uuid.UUID]bool{}, undone: map[uuid.UUID]bool{},
		broker: &txBroker{},
	}
	m.broker.blameAll = rapid.Bool().Draw(t, "blame all")
	m.broker.verdict = func(r *Record) error { return m.verdict(r.EventID) }
	m.broker.beforeCommit = func() error { return m.chance("abort", 8, errors.New("aborted")) }
	m.broker.afterCommit = func() error { return m.chance("lost answer", 8, errors.New("no answer")) }
	for i := range m.relays {
		cfg := Config{Logger: slog.New(slog.DiscardHandler), LeaseTTL: 10 * time.Minute, Mode: mode,
			BatchSize: 8, MaxInFlight: 16, confirmEvery: time.Hour}.withDefaults()
		if cfg.maxGaps = 512; i == 1 {
			cfg.maxGaps = 2
		}
		r := newRelay(cfg, nil)
		r.store = &innocents{&memStore{db: m.db, fault: m.fault}, m}
		m.relays[i] = &modelRelay{Relay: r, m: m}
		r.cfg.Sink = &modelSink{m: m, of: m.relays[i]}
		if mode == ExactlyOnce {
			r.cfg.Sink = m.broker
		}
	}
	return m
}

// chance returns err one time in n, and never while the model heals.
func (m *model) chance(what string, n int, err error) error {
	if m.healing || rapid.IntRange(1, n).Draw(m.t, what) != 1 {
		return nil
	}
	return err
}

// seldom reports whether to skip a step. It skips three of four, so that some runs have nothing that may cause
// duplicates.
func (m *model) seldom(what string) bool {
	return !m.healing && rapid.IntRange(1, 4).Draw(m.t, what) != 1
}

func (m *model) fault(when string) error {
	return m.chance("fault "+when, 25, errMem)
}

func (m *model) verdict(event uuid.UUID) error {
	if m.poison[event] {
		return Rejected(errRefused)
	}
	return nil
}

func (m *model) play() {
	steps := map[string]func(){
		"roll back": m.rollBack, "operate": m.operate, "take the lease away": m.expire,
		"the standby catches up": m.catchUp, "fail over": m.failOver,
	}
	for i, r := range m.relays {
		name := fmt.Sprintf(" %d", i)
		steps["claim"+name], steps["delete"+name], steps["look"+name] = r.claimLease, r.remove, r.look
		steps["keep"+name] = func() {
			if r.term != nil {
				r.term.saveCheckpoint()
			}
		}
		steps["resolve"+name], steps["crash"+name], steps["obey"+name] = r.resolve, r.crash, r.obey
		for again := range 4 {
			steps[fmt.Sprint("poll", name, "/", again)] = r.poll
		}
	}
	for again := range 4 {
		steps[fmt.Sprint("write/", again)], steps[fmt.Sprint("commit/", again)] = m.write, m.commit
	}
	names := make([]string, 0, len(steps))
	for name := range steps {
		names = append(names, name)
	}
	slices.Sort(names)
	for range rapid.IntRange(10, 150).Draw(m.t, "steps") {
		steps[rapid.SampledFrom(names).Draw(m.t, "step")]()
	}
	m.heal()
	m.check()
}

// write opens a transaction that locks its key and takes ids.
func (m *model) write() {
	key := rapid.SampledFrom([]string{"a", "b", "c", ""}).Draw(m.t, "key")
	if m.locked[key] || len(m.writers) > 4 {
		return
	}
	w := &modelWriter{name: fmt.Sprint("tx", m.db.nextID), key: key}
	for range rapid.IntRange(1, 3).Draw(m.t, "events") {
		m.db.nextID++
		row := store.Row{ID: m.db.nextID, EventID: uuid.New(), Topic: topicOf(key)}
		if key != "" {
			row.Key = []byte(key)
			row.Payload = fmt.Appendf(nil, "%s%d", key, m.versions[key]+len(w.rows)+1)
		} else {
			row.Payload = fmt.Appendf(nil, "-%d", row.ID)
		}
		w.rows = append(w.rows, row)
		if rapid.IntRange(1, 12).Draw(m.t, "poison") == 1 {
			m.poison[row.EventID] = true
		}
	}
	m.locked[key] = key != ""
	m.db.open[w.name] = true
	m.writers = append(m.writers, w)
}

// topicOf makes two keys share a topic. One of the topics is blocked now and then.
func topicOf(key string) string {
	if key == "c" {
		return "u"
	}
	return "t"
}

func (m *model) endWriter(f func(*modelWriter)) {
	if len(m.writers) == 0 {
		return
	}
	i := rapid.IntRange(0, len(m.writers)-1).Draw(m.t, "writer")
	w := m.writers[i]
	m.writers = slices.Delete(m.writers, i, i+1)
	f(w)
	m.locked[w.key] = false
	delete(m.db.open, w.name)
}

func (m *model) commit() {
	m.endWriter(func(w *modelWriter) {
		m.db.insert(w.rows)
		m.versions[w.key] += len(w.rows)
		for _, row := range w.rows {
			m.written[row.EventID] = string(row.Payload)
		}
	})
}

func (m *model) rollBack() {
	m.endWriter(func(w *modelWriter) {
		for _, row := range w.rows {
			m.ended = append(m.ended, row.EventID)
		}
	})
}

// operate makes a request for the first parked row of a key.
func (m *model) operate() {
	for _, p := range m.db.parked {
		if p.state != sqldb.ParkedFailed {
			continue
		}
		switch rapid.IntRange(0, 3).Draw(m.t, "operator") {
		case 0:
			p.state = sqldb.ParkedRetry
		case 1:
			p.state = sqldb.ParkedDrop
		default:
			delete(m.poison, p.EventID)
			p.state = sqldb.ParkedRetry
		}
		return
	}
}

// expire ends the lease. Its owner is paused: it delivers nothing more, but its unacknowledged records may
// still arrive.
func (m *model) expire() {
	if m.seldom("expire") {
		return
	}
	m.db.lease.owner = uuid.Nil
	for _, r := range m.relays {
		if r.term != nil {
			r.zombie, m.repeats = true, true
		}
		m.repeats = m.repeats || r.knows()
	}
}

func (m *model) catchUp() {
	m.standby = &modelStandby{m.db.copied(), maps.Clone(m.versions), maps.Clone(m.written)}
}

// failOver moves all relays to the standby. Commits that the standby does not have are undone, and consumers
// may have received their events. A relay whose claim the standby does not have is fenced. The others go on.
func (m *model) failOver() {
	if m.standby == nil || m.seldom("fail over") {
		return
	}
	m.repeats = true
	m.failovers++
	m.db.becomes(m.standby.db, fmt.Sprint("standby ", m.failovers))
	for event := range m.written {
		if _, known := m.standby.written[event]; !known {
			m.undone[event] = true
			delete(m.written, event)
		}
	}
	for _, event := range m.db.dropped { // it is back, behind events that were sent after it was dropped
		m.undone[event] = true
	}
	m.versions, m.writers, m.locked = maps.Clone(m.standby.versions), nil, map[string]bool{}
	for _, r := range m.relays {
		if r.term != nil && r.term.lease.Owner != m.db.lease.owner {
			r.zombie = true
		}
	}
}

// heal ends all faults and handles the remaining rows.
func (m *model) heal() {
	m.healing = true
	for len(m.writers) > 0 {
		m.commit()
	}
	for _, r := range m.relays {
		r.crash()
	}
	m.db.lease.owner = uuid.Nil
	r := m.relays[0]
	for range 400 {
		clear(m.poison)
		for _, p := range m.db.parked {
			if p.state == sqldb.ParkedFailed {
				p.state = sqldb.ParkedRetry
			}
		}
		r.claimLease()
		r.poll()
		r.obey()
		r.resolve()
		r.remove()
		if len(m.db.rows) == 0 && len(m.db.parked) == 0 {
			return
		}
	}
	m.t.Fatalf("not worked off: %d rows, %d parked", len(m.db.rows), len(m.db.parked))
}

func (m *model) check() {
	log := m.log
	if m.mode == ExactlyOnce {
		log = m.broker.committed
	}
	seen := map[uuid.UUID]bool{}
	var first []string
	for _, p := range log {
		if _, ok := m.written[p.eventID]; !ok && !m.undone[p.eventID] {
			m.t.Fatalf("%s was sent and not committed", p.value)
		}
		if seen[p.eventID] && (m.mode == ExactlyOnce || !m.repeats) {
			m.t.Fatalf("%s was sent twice", p.value)
		}
		if !seen[p.eventID] && !m.undone[p.eventID] {
			first = append(first, p.value)
		}
		seen[p.eventID] = true
	}
	for event, value := range m.written {
		if !seen[event] && !slices.Contains(m.db.dropped, event) {
			m.t.Fatalf("%s is lost: %v", value, first)
		}
	}
	for _, key := range []string{"a", "b", "c"} {
		if !inOrder(first, key) {
			m.t.Fatalf("%s is out of order: %v", key, first)
		}
	}
}
