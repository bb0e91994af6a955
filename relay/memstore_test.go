package relay

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	store "github.com/postroom/postroom/internal/store/relay"
)

// memDB is a database in memory, with the parts that the relay sees: committed rows, the lease row, the
// parked rows. Each operation of its stores is one transaction.
type memDB struct {
	mu     sync.Mutex
	nextID int64
	rows   []store.Row // committed, ascending
	open   map[string]bool
	lease  struct {
		owner    uuid.UUID
		epoch    int64
		mode     string
		position []byte
		proved   []byte
	}
	server  string
	parked  []*memParked
	nextSeq int64
	dropped []uuid.UUID
}

// memStore is one relay's connection to a memDB. It has what a session needs.
type memStore struct {
	database
	db *memDB
	// fault is called before and after each change. After it, the change has taken effect.
	fault func(when string) error
}

var errMem = errors.New("connection reset")

func (m *memStore) change(f func()) error {
	if err := m.fault("before"); err != nil {
		return err
	}
	m.db.mu.Lock()
	f()
	m.db.mu.Unlock()
	return m.fault("after")
}

func (m *memStore) fenced(l store.Lease, f func()) error {
	var lost error
	err := m.change(func() {
		if lost = m.holds(l); lost == nil {
			f()
		}
	})
	return errors.Join(lost, err)
}

func (m *memStore) holds(l store.Lease) error {
	switch {
	case m.db.lease.owner != l.Owner || m.db.lease.epoch != l.Epoch:
		return store.ErrLeaseLost
	case m.db.server != l.Server:
		return store.ErrServerChanged
	}
	return nil
}

func (m *memStore) LeaseState(context.Context, time.Duration) (s store.LeaseState, err error) {
	err = m.change(func() { s.Free = m.db.lease.owner == uuid.Nil })
	return s, err
}

func (m *memStore) Heartbeat(context.Context, store.Member, time.Duration, bool) ([]store.Member, error) {
	return nil, nil
}

func (m *memStore) Leave(context.Context, uuid.UUID) error { return nil }

func (m *memStore) MoveDue(_ context.Context, l store.Lease, _ int) (int, time.Duration, error) {
	return 0, time.Second, m.fenced(l, func() {})
}

func (m *memStore) Claim(_ context.Context, c store.Claim) (l store.Lease, ok bool, err error) {
	err = m.change(func() {
		row := &m.db.lease
		if ok = row.owner == uuid.Nil || row.owner == c.Unsure; !ok {
			return
		}
		row.owner = c.Owner
		row.epoch++
		if row.mode == "" {
			row.mode = c.Mode
		}
		l = store.Lease{Owner: c.Owner, Epoch: row.epoch, Server: m.db.server, Mode: row.mode, Position: row.position,
			Checkpoint: row.proved}
	})
	return l, ok && err == nil, err
}

func (m *memStore) Renew(_ context.Context, l store.Lease, _ time.Duration) error {
	return m.fenced(l, func() {})
}

func (m *memStore) Held(_ context.Context, l store.Lease) (bool, error) {
	err := m.fenced(l, func() {})
	if errors.Is(err, store.ErrLeaseLost) {
		return false, nil
	}
	return err == nil, err
}

func (m *memStore) HandOver(_ context.Context, l store.Lease, _ uuid.UUID) error {
	return m.fenced(l, func() { m.db.lease.owner = uuid.Nil })
}

func (m *memStore) Note(_ context.Context, l store.Lease, n store.Note) error {
	switch n.Field {
	case store.FieldMode:
		return m.fenced(l, func() { m.db.lease.mode = n.Value })
	case store.FieldPosition:
		return m.fenced(l, func() { m.db.lease.position = []byte(n.Value) })
	case store.FieldTopics:
		return m.fenced(l, func() {})
	case store.FieldCheckpoint:
		return m.fenced(l, func() { m.db.lease.proved = []byte(n.Value) })
	default:
		return nil
	}
}

func (m *memStore) ReadNote(_ context.Context, l store.Lease, field store.Field) (note []byte, err error) {
	if field == store.FieldCheckpoint {
		err = m.fenced(l, func() { note = m.db.lease.proved })
	}
	return note, err
}

func (m *memStore) Read(_ context.Context, q store.ReadQuery,
	visit func(*store.Row) bool) (store.ReadInfo, error) {
	var info store.ReadInfo
	var rows []store.Row
	err := m.change(func() { rows, info.Server = slices.Clone(m.db.rows), m.db.server })
	if err != nil {
		return info, err
	}
	inGap := func(id int64) bool {
		return slices.ContainsFunc(q.Gaps, func(g store.Range) bool { return g.Lo <= id && id <= g.Hi })
	}
	fromGaps, above := 0, 0
	for i := range rows {
		switch id := rows[i].ID; {
		case id <= q.Head && (!inGap(id) || fromGaps >= q.Limit):
			continue
		case id <= q.Head:
			fromGaps++
		case q.GapsOnly, fromGaps >= q.Limit, above >= q.Limit:
			return info, nil
		default:
			above++
		}
		if !visit(&rows[i]) {
			return info, nil
		}
		if err := m.fault("row"); err != nil {
			return info, err
		}
	}
	return info, nil
}

func (m *memStore) EventsUpTo(_ context.Context, id int64, limit int, visit func(store.Event) bool) error {
	var events []store.Event
	err := m.change(func() {
		for _, row := range m.db.rows {
			if row.ID <= id && len(events) < limit {
				events = append(events, store.Event{ID: row.ID, EventID: row.EventID})
			}
		}
	})
	for _, e := range events {
		if err != nil || !visit(e) {
			break
		}
	}
	return err
}

func (m *memStore) OpenWriters(context.Context) (w store.Writers, err error) {
	w.Known = true
	err = m.change(func() {
		for id := range m.db.open {
			w.Open = append(w.Open, store.Writer{ID: id})
		}
	})
	return w, err
}

func (m *memStore) Delete(_ context.Context, l store.Lease, d store.Deletion) (n int64, err error) {
	err = m.change(func() {
		if m.holds(l) != nil {
			return
		}
		for _, run := range d.Runs {
			if m.db.find(run.Last) != nil {
				n += m.db.remove(func(r store.Row) bool { return run.Lo <= r.ID && r.ID <= run.Last.ID })
			}
		}
		n += m.db.removeEvents(d.Events)
	})
	return n, err
}

func (m *memStore) DeleteDelivered(_ context.Context, l store.Lease, rows []store.Delivered) (n int64, err error) {
	events := make([]store.Event, len(rows))
	for i, row := range rows {
		events[i] = row.Event
	}
	err = m.fenced(l, func() { n = m.db.removeEvents(events) })
	return n, err
}

func (db *memDB) removeEvents(events []store.Event) (n int64) {
	for _, e := range events {
		n += db.remove(func(r store.Row) bool { return r.ID == e.ID && r.EventID == e.EventID })
	}
	return n
}

func (db *memDB) find(e store.Event) *store.Row {
	i := slices.IndexFunc(db.rows, func(r store.Row) bool { return r.ID == e.ID && r.EventID == e.EventID })
	if i < 0 {
		return nil
	}
	return &db.rows[i]
}

func (db *memDB) remove(gone func(store.Row) bool) int64 {
	before := len(db.rows)
	db.rows = slices.DeleteFunc(db.rows, gone)
	return int64(before - len(db.rows))
}

// insert adds committed rows at their places.
func (db *memDB) insert(rows []store.Row) {
	db.rows = append(db.rows, rows...)
	slices.SortFunc(db.rows, func(a, b store.Row) int { return int(a.ID - b.ID) })
}
