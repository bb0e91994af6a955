package relaykafka_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaykafka"
)

// Hazard commit-before-fence.
// Three owners that know nothing of one another share one source. Each opens a session, deletes the rows that
// Sent names, reads the table and delivers. It does so until it is fenced, closes the session, loses its
// network at any moment, or pauses. No lease keeps them apart, so this is harder than what the relay does.
// Whatever happens, a consumer with read_committed gets every row once, and the rows of a key in order.
func TestOwnersThatFightForASourceSendEachRowOnce(t *testing.T) {
	w := realTx(t)
	fight(t, w, w.topic(4), 4000)
}

func fight(t *testing.T, w *txWorld, topic string, rows int) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	table := newTable(topic, rows, 30)
	var opened, broken atomic.Int64
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	// Not a limit on speed: it ends a fight in which nothing is delivered any more.
	table.standstill = time.AfterFunc(2*patience, cancel)
	defer table.standstill.Stop()
	var owners sync.WaitGroup
	for i := range uint64(3) {
		owners.Go(func() {
			o := &owner{
				world: w, table: table, random: rand.New(rand.NewPCG(seed, i)), opened: &opened, broken: &broken,
			}
			for ctx.Err() == nil && table.left() > 0 {
				o.turn(ctx)
				<-time.After(time.Duration(o.random.IntN(500)) * time.Millisecond) // let others work
			}
		})
	}
	owners.Wait()
	require.Zero(t, table.left(), "rows that were never delivered")
	t.Logf("%d sessions, %d of them with a broken network", opened.Load(), broken.Load())
	require.GreaterOrEqual(t, opened.Load(), int64(rows/rowsOfTurn))

	last := make(map[string]string)
	seen := make(map[string]int)
	for _, r := range committed(t, w.brokers, topic) {
		if len(r.Value) != len("000000") {
			continue // it was there before
		}
		seen[string(r.Value)]++
		require.Less(t, last[string(r.Key)], string(r.Value), "order of key %s", r.Key)
		last[string(r.Key)] = string(r.Value)
	}
	require.Len(t, seen, rows)
	for value, times := range seen {
		require.Equal(t, 1, times, "row %s", value)
	}
}

// table is an outbox. Its rows are the undelivered ones.
type table struct {
	mu         sync.Mutex
	rows       map[relay.Sent]*relay.Record
	standstill *time.Timer // begins anew with each row that is removed
}

func newTable(topic string, rows, keys int) *table {
	t := &table{rows: make(map[relay.Sent]*relay.Record)}
	for i := range rows {
		r := record(int64(i+1), topic, fmt.Sprint("k", i%keys), fmt.Appendf(nil, "%06d", i))
		t.rows[relay.Sent{ID: r.ID, EventID: r.EventID}] = r
	}
	return t
}

func (t *table) left() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.rows)
}

func (t *table) remove(rows ...relay.Sent) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, row := range rows {
		if _, there := t.rows[row]; there { // each session names again what earlier ones have delivered
			delete(t.rows, row)
			t.standstill.Reset(2 * patience)
		}
	}
}

// read returns copies of the first rows above head, as a database would.
func (t *table) read(head int64, limit int) (list []*relay.Record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range t.rows {
		if r.ID > head {
			row := *r
			list = append(list, &row)
		}
	}
	slices.SortFunc(list, func(a, b *relay.Record) int { return cmp.Compare(a.ID, b.ID) })
	return list[:min(limit, len(list))]
}

// rowsOfTurn is the most rows that one session may deliver, so that many sessions are needed.
const rowsOfTurn = 150

type owner struct {
	world          *txWorld
	table          *table
	random         *rand.Rand
	opened, broken *atomic.Int64
}

// turn is one session, from its opening to its end.
func (o *owner) turn(ctx context.Context) {
	network := &brittleNetwork{}
	cfg := relaykafka.WithTransactionTimeout(o.world.cfg, time.Second)
	cfg.TransactionRecords = 1 + o.random.IntN(60)
	cfg.ExtraOptions = []kgo.Opt{kgo.Dialer(network.dial)}
	failed := make(chan struct{}, 1)
	var waiting sync.WaitGroup
	session, err := newSink(o.world.t, cfg).OpenTransactional(ctx, relay.Identity{
		Source: "default", ID: o.world.source.ID, Owner: uuid.New(), Epoch: o.opened.Add(1),
	}, nil, func(r *relay.Record, err error) {
		if err == nil {
			o.table.remove(relay.Sent{ID: r.ID, EventID: r.EventID})
		} else {
			select {
			case failed <- struct{}{}:
			default:
			}
		}
		waiting.Done()
	})
	if err != nil {
		return
	}
	// Before the session ends, its network is cut, or not.
	if o.random.IntN(3) == 0 {
		o.broken.Add(1)
		network.breakAfter(int64(o.random.IntN(60)))
	}
	if o.deleteSent(ctx, session) == nil {
		o.deliver(ctx, session, &waiting, failed)
	}
	session.Close()
	waiting.Wait() // each exactly once; otherwise the test hangs, or Done panics
}

func (o *owner) deleteSent(ctx context.Context, session relay.TransactionalSession) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second) // its network may be cut
	defer cancel()
	return session.Sent(ctx, func(rows []relay.Sent) error { o.table.remove(rows...); return nil })
}

func (o *owner) deliver(ctx context.Context, session relay.Session, waiting *sync.WaitGroup, failed chan struct{}) {
	head := int64(0)
	left := rowsOfTurn
	for range 1 + o.random.IntN(30) {
		records := o.table.read(head, min(left, 1+o.random.IntN(80)))
		left -= len(records)
		if len(records) == 0 {
			waiting.Wait()
			return
		}
		head = records[len(records)-1].ID
		waiting.Add(len(records))
		session.Deliver(ctx, records)
		select {
		case <-failed:
			return
		case <-time.After(time.Duration(o.random.IntN(30)) * time.Millisecond): // a pause in which others take over
		}
	}
}

// brittleNetwork breaks all its connections after a number of reads and writes.
type brittleNetwork struct{ breaks, left atomic.Int64 }

func (n *brittleNetwork) breakAfter(calls int64) {
	n.left.Store(calls)
	n.breaks.Store(1)
}

func (n *brittleNetwork) broken() bool {
	return n.breaks.Load() == 1 && n.left.Add(-1) < 0
}

var errBroken = errors.New("the network is broken")

func (n *brittleNetwork) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if n.broken() {
		return nil, errBroken
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	return &brittleConn{conn, n}, err
}

type brittleConn struct {
	net.Conn
	network *brittleNetwork
}

func (c *brittleConn) Write(p []byte) (int, error) {
	if c.network.broken() {
		_ = c.Conn.Close()
		return 0, errBroken
	}
	return c.Conn.Write(p)
}

func (c *brittleConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.network.broken() {
		_ = c.Conn.Close()
		return 0, errBroken
	}
	return n, err
}
