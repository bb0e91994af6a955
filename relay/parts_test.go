package relay

import (
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	store "github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/relay/internal/health"
	"github.com/postroom/postroom/relay/internal/inflight"
)

// newTestPart makes a session's part over a database in memory, whose lease it holds.
func newTestPart(t *testing.T, cfg Config) (part, *memStore, *lines) {
	log := &lines{}
	cfg.Logger = slog.New(log)
	cfg = cfg.withDefaults()
	st := &memStore{db: &memDB{server: "here"}, fault: func(string) error { return nil }}
	lease, claimed, err := st.Claim(t.Context(), store.Claim{Owner: uuid.New(), Mode: string(cfg.Mode)})
	require.NoError(t, err)
	require.True(t, claimed)
	k := newKeeper(t.Context(), st, lease, time.Hour, time.Now())
	return part{cfg: &cfg, health: health.New(cfg.Logger), log: cfg.Logger, table: cfg.table(), term: newTerm(k),
		inFlight: inflight.New(), singleSnapshot: true}, st, log
}

// commit inserts rows with these keys; "" means no key.
func (db *memDB) commit(keys ...string) {
	for _, key := range keys {
		db.nextID++
		row := store.Row{ID: db.nextID, EventID: uuid.New(), Topic: "t"}
		if key != "" {
			row.Key = []byte(key)
		}
		db.rows = append(db.rows, row)
	}
}

// read returns the records of all rows, with their lanes.
func (db *memDB) read(i *isolation) (list []*Record) {
	for n := range db.rows {
		r := &Record{}
		newRecord(r, &db.rows[n])
		r.lane = i.laneOf(r)
		list = append(list, r)
	}
	return list
}
