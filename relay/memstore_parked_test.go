package relay

import (
	"context"
	"slices"

	sqldb "github.com/postroom/postroom/internal/db"
	store "github.com/postroom/postroom/internal/store/relay"
)

type memParked struct {
	store.ParkedRow
	state string
}

func (m *memStore) WaitForMoves(_ context.Context, l store.Lease) error {
	return m.fenced(l, func() {})
}

func (m *memStore) MarkOvertaken(_ context.Context, l store.Lease, after int64) (int64, bool, error) {
	return after, false, m.fenced(l, func() {
		for _, p := range m.db.parked {
			p.Overtaken = p.Overtaken || p.Key != nil
		}
	})
}

// ScanBlockedKeys visits one key in each part.
func (m *memStore) ScanBlockedKeys(_ context.Context, after store.BlockedPart,
	visit func(string, []byte)) (next store.BlockedPart, more bool, err error) {
	next = after
	err = m.change(func() {
		for _, p := range m.db.parked {
			if key := string(p.Key); p.Key != nil && key > string(after.Key) && (!more || key < string(next.Key)) {
				next, more = store.BlockedPart{Topic: p.Topic, Key: p.Key, Seq: p.Seq}, true
			}
		}
		if more {
			visit(next.Topic, next.Key)
		}
	})
	return next, more, err
}

func (m *memStore) FindBlockedKeys(_ context.Context, keys []sqldb.EventKey) (blocked []sqldb.EventKey, err error) {
	err = m.change(func() {
		for _, k := range keys {
			if slices.ContainsFunc(m.db.parked,
				func(p *memParked) bool { return p.Key != nil && p.Topic == k.Topic && string(p.Key) == k.Key }) {
				blocked = append(blocked, k)
			}
		}
	})
	return blocked, err
}

func (m *memStore) Park(_ context.Context, l store.Lease, rows []store.Parking) (n int64, err error) {
	err = m.fenced(l, func() {
		for _, p := range rows {
			row := m.db.find(p.Event)
			if row == nil {
				continue
			}
			m.db.nextSeq++
			m.db.parked = append(m.db.parked,
				&memParked{store.ParkedRow{Seq: m.db.nextSeq, Row: *row, Overtaken: p.Overtaken}, p.State})
			m.db.remove(func(r store.Row) bool { return r.ID == p.ID })
			n++
		}
	})
	return n, err
}

func (m *memStore) Reject(_ context.Context, l store.Lease, rows []store.Rejection) error {
	if len(rows) == 0 {
		return nil
	}
	return m.fenced(l, func() {
		for _, row := range rows {
			m.db.refuse(row)
		}
	})
}

func (db *memDB) refuse(row store.Rejection) {
	for _, p := range db.parked {
		if p.Seq != row.Seq {
			continue
		}
		p.state, p.Overtaken = sqldb.ParkedFailed, p.Overtaken || row.Overtaken
		for _, q := range db.parked {
			if q.Seq > p.Seq && p.Key != nil && string(q.Key) == string(p.Key) && q.state == sqldb.ParkedRetry {
				q.state = sqldb.ParkedBlocked
			}
		}
	}
}

func (m *memStore) DropRequested(_ context.Context, l store.Lease, _ int) (d store.Drops, err error) {
	err = m.change(func() {
		for _, p := range m.db.parked {
			d.Requests = d.Requests || p.state == sqldb.ParkedRetry || p.state == sqldb.ParkedDrop
		}
	})
	if err != nil || !d.Requests {
		return d, err
	}
	err = m.fenced(l, func() {
		d.Freed = m.db.unpark(func(p *memParked) bool {
			if p.state != sqldb.ParkedDrop {
				return false
			}
			m.db.dropped = append(m.db.dropped, p.EventID)
			d.Dropped = append(d.Dropped, store.Dropped{Seq: p.Seq, Event: store.Event{ID: p.ID, EventID: p.EventID},
				Topic: p.Topic, Key: p.Key})
			return true
		})
	})
	return d, err
}

// unpark deletes parked rows, sets their followers to retry and returns the freed keys.
func (db *memDB) unpark(gone func(*memParked) bool) (freed []sqldb.EventKey) {
	keys := make(map[sqldb.EventKey]bool)
	db.parked = slices.DeleteFunc(db.parked, func(p *memParked) bool {
		if !gone(p) {
			return false
		}
		if p.Key != nil {
			keys[sqldb.EventKey{Topic: p.Topic, Key: string(p.Key)}] = true
		}
		return true
	})
	for key := range keys {
		rows := slices.DeleteFunc(slices.Clone(db.parked), func(p *memParked) bool {
			return p.Key == nil || string(p.Key) != key.Key
		})
		if len(rows) == 0 {
			freed = append(freed, key)
			continue
		}
		if rows[0].state != sqldb.ParkedBlocked {
			continue
		}
		for _, p := range rows {
			if p.state == sqldb.ParkedFailed {
				break
			}
			if p.state == sqldb.ParkedBlocked {
				p.state = sqldb.ParkedRetry
			}
		}
	}
	return freed
}

func (m *memStore) Replayable(_ context.Context, limit int, visit func(*store.ParkedRow) bool) error {
	var rows []store.ParkedRow
	err := m.change(func() {
		waits := make(map[string]bool)
		for _, p := range m.db.parked {
			if p.state == sqldb.ParkedRetry && (p.Key == nil || p.Overtaken || !waits[string(p.Key)]) &&
				len(rows) < limit {
				rows = append(rows, p.ParkedRow)
			}
			if p.state != sqldb.ParkedRetry {
				waits[string(p.Key)] = true
			}
		}
	})
	for i := range rows {
		if err != nil || !visit(&rows[i]) {
			break
		}
	}
	return err
}

func (m *memStore) Unpark(_ context.Context, l store.Lease, rows []store.DeliveredParked) (freed []sqldb.EventKey,
	err error) {
	err = m.fenced(l, func() {
		freed = m.db.unpark(func(p *memParked) bool {
			return slices.ContainsFunc(rows, func(d store.DeliveredParked) bool {
				return d.Seq == p.Seq && d.EventID == p.EventID
			})
		})
	})
	return freed, err
}

// FindSentParked looks at one row in each part.
func (m *memStore) FindSentParked(_ context.Context, sent *store.SentEvents,
	after int64) (found []store.DeliveredParked, next int64, more bool, err error) {
	next = after
	err = m.change(func() {
		for _, p := range m.db.parked {
			if p.Seq <= after || more {
				continue
			}
			next, more = p.Seq, true
			if sent.Has(store.Event{ID: p.ID, EventID: p.EventID}) {
				found = append(found,
					store.DeliveredParked{ParkedEvent: store.ParkedEvent{Seq: p.Seq, EventID: p.EventID}})
			}
		}
	})
	return found, next, more, err
}
