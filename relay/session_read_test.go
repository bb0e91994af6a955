package relay

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	store "github.com/postroom/postroom/internal/store/relay"
)

// answering is a database whose reads are answered by the servers of a list, one after another. "" stands for
// an error. It records the time of each read, and ends the relay after the last. The server that answered
// last grants the lease.
type answering struct {
	*memStore
	servers []string
	asked   []time.Time
	end     context.CancelFunc
}

func (a *answering) Read(context.Context, store.ReadQuery, func(*store.Row) bool) (store.ReadInfo, error) {
	if len(a.asked) == len(a.servers) {
		return store.ReadInfo{}, io.ErrUnexpectedEOF
	}
	server := a.servers[len(a.asked)]
	a.asked = append(a.asked, time.Now())
	if len(a.asked) == len(a.servers) {
		a.end()
	}
	if server == "" {
		return store.ReadInfo{}, io.ErrUnexpectedEOF
	}
	return store.ReadInfo{Server: server}, nil
}

func (a *answering) Claim(ctx context.Context, c store.Claim) (store.Lease, bool, error) {
	if last := a.servers[max(len(a.asked)-1, 0)]; last != "" {
		a.db.server = last
	}
	return a.memStore.Claim(ctx, c)
}

// pauses runs a relay on such a database and returns the time before each read except the first. The test has
// a clock of its own.
func pauses(t *testing.T, retryMin, retryMax time.Duration, servers []string) []time.Duration {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := newRelay(Config{
		Logger: slog.New(slog.DiscardHandler), LeaseTTL: 100 * time.Hour, RetryMin: retryMin, RetryMax: retryMax,
		Sink: &testSink{},
	}.withDefaults(), nil)
	db := &answering{&memStore{db: &memDB{}, fault: func(string) error { return nil }}, servers, nil, cancel}
	r.store = db
	require.NoError(t, r.runTerms(ctx))
	var all []time.Duration
	for i := 1; i < len(db.asked); i++ {
		all = append(all, db.asked[i].Sub(db.asked[i-1]))
	}
	return all
}

func repeat(n int, servers ...string) []string {
	var all []string
	for range n {
		all = append(all, servers...)
	}
	return all
}

// An outage lasts, and the pauses grow. Then the database answers, restarted or as another server. The events
// that wait in it must not wait for one more long pause.
func TestADatabaseThatComesBackAsAnotherServerIsReadAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		servers := append(append([]string{"first"}, repeat(12, "")...), "second", "second")
		got := pauses(t, time.Second, time.Hour, servers)
		require.Greater(t, got[12], 10*time.Minute, "the outage was long")
		require.LessOrEqual(t, got[13], time.Second, "%v", got)
	})
}

// A proxy has two servers behind it. Each read is answered by another server, so none can be used.
func TestServersThatAnswerInTurnAreAskedMoreAndMoreSeldom(t *testing.T) {
	for name, servers := range map[string][]string{
		"each time":       repeat(10, "first", "second"),
		"with errors":     repeat(10, "first", "", "second", ""),
		"after an outage": append(append([]string{"first"}, repeat(12, "")...), repeat(10, "second", "first")...),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := pauses(t, time.Second, time.Minute, servers)
				for i := len(got) - 6; i < len(got)-1; i++ { // one of two may follow an error
					require.GreaterOrEqual(t, max(got[i], got[i+1]), 30*time.Second, "%v", got)
				}
			})
		})
	}
}
