package relay

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	sqldb "github.com/postroom/postroom/internal/db"
	store "github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/relay/internal/inflight"
	"github.com/postroom/postroom/relay/internal/lanes"
	"github.com/postroom/postroom/relay/internal/topics"
)

// badKeys is a sink's session that rejects records whose key begins with "bad".
type badKeys struct{ Session }

func (badKeys) Validate(r *Record) error {
	if strings.HasPrefix(string(r.Key), "bad") {
		return errors.New("too large")
	}
	return nil
}

// testQuarantine is a quarantine on a database in memory, with what it needs from other parts.
type testQuarantine struct {
	*quarantine
	db        *memStore
	log       *lines
	isolation *isolation
	sent      []*Record // records that were sent again
}

func newTestQuarantine(t *testing.T, cfg Config) *testQuarantine {
	p, st, log := newTestPart(t, cfg)
	q := &testQuarantine{db: st, log: log, isolation: newIsolation(p.cfg, p.inFlight, lanes.NewTrials())}
	q.quarantine = newQuarantine(p, st, topics.NewAllowed(cfg.Topics), &leftover{}, q.sendAgain)
	q.validator = badKeys{}
	return q
}

// sendAgain gives parked rows to the sink, which delivers them.
func (q *testQuarantine) sendAgain(_ context.Context, records []*Record) (sent []*inflight.Entry, ok bool) {
	for _, r := range records {
		r.lane = q.isolation.laneOf(r)
		entries := []inflight.Entry{{ID: r.ID, Seq: r.seq, EventID: r.EventID, Lane: &r.lane.Load}}
		q.inFlight.Add(entries)
		q.inFlight.Ack(&entries[0], nil)
		sent = append(sent, &entries[0])
	}
	q.sent = append(q.sent, records...)
	return sent, true
}

// parked lists the keys and states of outbox_parked.
func (q *testQuarantine) parked() (list []string) {
	for _, p := range q.db.db.parked {
		list = append(list,
			strings.TrimSpace(string(p.Key)+" "+p.state+map[bool]string{true: " overtaken"}[p.Overtaken]))
	}
	return list
}

func TestTheQuarantineTellsWhatTheSinkGetsFromWhatIsParked(t *testing.T) {
	for name, each := range map[string]struct {
		policy  Policy
		topics  []string
		blocked []string // keys
		busy    []string // keys of records that the sink has
		read    []string // keys
		deliver string   // keys
		park    string
		later   string // keys of records to park when earlier ones are delivered
		halt    bool
	}{
		"all is well": {BlockKey, nil, nil, nil, []string{"a", "", "b"}, "a,,b", "", "", false},
		"a key is blocked": {
			BlockKey, nil, []string{"a"}, nil, []string{"a", "b", "a"}, "b", "a blocked,a blocked", "", false,
		},
		"the sink would reject one": {
			BlockKey, nil, nil, nil, []string{"bad", "b", "bad"}, "b", "bad failed,bad blocked", "", false,
		},
		"and the key is not blocked by the policy skip": {
			Skip, nil, nil, nil, []string{"bad", "b", "bad"}, "b", "bad failed overtaken,bad failed overtaken", "",
			false,
		},
		"nothing is parked by the policy halt": {Halt, nil, nil, nil, []string{"b", "bad", "c"}, "b", "", "", true},
		"the topic is not allowed": {
			BlockKey, []string{"u"}, nil, nil, []string{"a", "", "a"}, "", "a failed,failed,a blocked", "", false,
		},
		// Hazard early-parking: if it were parked now and the earlier record failed, that one would be read
		// again and be parked behind it.
		"an earlier record of the key is with the sink": {
			BlockKey, nil, nil, []string{"bad"}, []string{"bad", "b", "bad"}, "", "", "bad,b,bad", false,
		},
		"order does not matter by the policy skip": {
			Skip, nil, nil, []string{"bad"}, []string{"bad", "b"}, "b", "bad failed overtaken", "", false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			q := newTestQuarantine(t, Config{OnRejection: each.policy, Topics: each.topics})
			q.db.db.commit(each.read...)
			list := q.db.db.read(q.isolation)
			for _, key := range each.busy {
				r := &Record{Topic: "t", Key: []byte(key)}
				q.inFlight.Add([]inflight.Entry{{ID: 100, Hash: q.term.blocked.hash(r)}})
			}
			blocked := make(map[string]bool)
			for _, key := range each.blocked {
				blocked[orderKey("t", []byte(key))] = true
			}
			keys := func(list []*Record) string {
				var all []string
				for _, r := range list {
					all = append(all, string(r.Key))
				}
				return strings.Join(all, ",")
			}
			deliver, p := q.sift(list, blocked)
			require.Equal(t, each.deliver, keys(deliver))
			require.Equal(t, each.later, keys(p.afterOthers))
			require.Equal(t, each.halt, p.halt != nil)
			if len(p.rows) > 0 {
				require.NoError(t, q.park(t.Context(), p))
			}
			require.Equal(t, each.park, strings.Join(q.parked(), ","))
			require.Equal(t, each.policy != BlockKey || each.park == "" || len(each.blocked) > 0,
				q.term.blocked.Empty())
		})
	}
}

// A record of the key may be among those that failed, and comes again. A lost lease belongs to another owner.
func TestNothingIsParkedAfterAFailureOrWithoutTheLease(t *testing.T) {
	for name, happens := range map[string]func(*testQuarantine){
		"a record has failed": func(q *testQuarantine) {
			entries := []inflight.Entry{{ID: 100}}
			q.inFlight.Add(entries)
			q.inFlight.Ack(&entries[0], errors.New("outage"))
		},
		"the lease is lost": func(q *testQuarantine) { q.term.endAtOnce(store.ErrLeaseLost) },
	} {
		t.Run(name, func(t *testing.T) {
			q := newTestQuarantine(t, Config{})
			q.db.db.commit("bad")
			_, p := q.sift(q.db.db.read(q.isolation), nil)
			happens(q)
			require.ErrorIs(t, q.park(t.Context(), p), errNotDelivered)
			require.Empty(t, q.parked())
		})
	}
}

// Hazard lost-parking-answer: after a move whose answer was lost, the blocked keys are loaded again.
func TestAMoveWithoutAnAnswerMayHaveTakenPlace(t *testing.T) {
	q := newTestQuarantine(t, Config{})
	require.NoError(t, q.load(t.Context()))
	q.db.db.commit("bad", "other")
	list := q.db.db.read(q.isolation)
	_, p := q.sift(list[:1], nil)
	q.db.fault = func(when string) error {
		if when == "after" {
			return errMem
		}
		return nil
	}
	require.ErrorIs(t, q.park(t.Context(), p), errMem)
	require.Equal(t, []string{"bad failed"}, q.parked())
	q.db.fault = func(string) error { return nil }
	q.loaded = false // the reader does this after an error
	require.NoError(t, q.load(t.Context()))
	blocked, err := q.blockedAmong(t.Context(), []*Record{{Topic: "t", Key: []byte("bad")}, list[1]})
	require.NoError(t, err)
	require.Equal(t, map[string]bool{orderKey("t", []byte("bad")): true}, blocked)
}

func TestOperatorsRequestsAreDoneForEachKeyInOrder(t *testing.T) {
	for name, each := range map[string]struct {
		keys, states []string
		sent         int
		parked       []string
		unblocked    int
	}{
		"nothing is asked": {[]string{"a", "b"}, []string{"failed", sqldb.ParkedFailed}, 0,
			[]string{"a failed", "b failed"}, 0},
		"one is sent again, and its key is free": {
			[]string{"a", "b"}, []string{sqldb.ParkedRetry, "failed"}, 1, []string{"b failed"}, 1,
		},
		"one is dropped, and what waits behind it is sent": {
			[]string{"a", "a"}, []string{sqldb.ParkedDrop, sqldb.ParkedBlocked}, 1, nil, 1,
		},
		"one would be rejected again, and one waits behind it": {
			[]string{"bad", "b", "bad"}, []string{sqldb.ParkedRetry, sqldb.ParkedRetry, sqldb.ParkedRetry}, 1,
			[]string{"bad failed", "bad blocked"}, 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newTestQuarantine(t, Config{})
				q.db.db.commit(each.keys...)
				for i, row := range q.db.db.rows {
					q.db.db.parked = append(q.db.db.parked,
						&memParked{store.ParkedRow{Seq: int64(i + 1), Row: row}, each.states[i]})
				}
				q.db.db.rows = nil
				require.NoError(t, q.load(t.Context()))
				require.True(t, q.requestsDue())
				require.NoError(t, q.handleRequests(t.Context()))
				require.Len(t, q.sent, each.sent)
				require.Equal(t, each.parked, q.parked())
				require.Equal(t, each.unblocked, q.log.count("key unblocked"))
				held, _, _ := q.inFlight.Counts()
				require.Zero(t, held, "what was sent again is deleted")
			})
		})
	}
}
