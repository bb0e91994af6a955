package conformance

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbopen"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/relay"
)

// childDatabase names, in the environment of a child, the database to relay.
const childDatabase = "POSTROOM_CONFORMANCE_DATABASE"

// childLease is the lease of both relays in the tests of abrupt ends.
const childLease = 3 * time.Second

// runChild is a relay in a process of its own. Its sink writes each payload to the
// standard output before it acknowledges it.
func runChild(url string) int {
	target, err := dbopen.Open(context.Background(), url)
	if err == nil {
		var r *relay.Relay
		r, err = relay.New(relay.Config{
			DB: target.DB, Dialect: target.Dialect, Sink: &printer{}, LeaseTTL: childLease,
			PollMax: 5 * time.Millisecond,
			Logger:  slog.New(slog.NewTextHandler(io.Discard, nil)),
		})
		if err == nil {
			err = r.Run(context.Background())
		}
	}
	fmt.Fprintln(os.Stderr, "the child has ended:", err)
	return 1
}

// printer is the child's sink and its session.
type printer struct{ ack relay.Ack }

func (p *printer) Check(context.Context) error { return nil }

func (p *printer) Open(_ context.Context, ack relay.Ack) (relay.Session, error) {
	return &printer{ack: ack}, nil
}

func (p *printer) Deliver(_ context.Context, records []*relay.Record) {
	for _, r := range records {
		_, err := fmt.Printf("%s\n", r.Payload)
		p.ack(r, err)
	}
}

func (p *printer) Close() {}

// child is a relay's process, as its parent sees it.
type child struct {
	t     *testing.T
	cmd   *exec.Cmd
	ended chan struct{}

	mu    sync.Mutex
	lines []string
}

func startChild(t *testing.T, url string) *child {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	c := &child{t: t, cmd: exec.Command(self), ended: make(chan struct{})}
	c.cmd.Env = append(os.Environ(), childDatabase+"="+url)
	c.cmd.Stderr = os.Stderr
	out, err := c.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.cmd.Start())
	go func() {
		defer close(c.ended)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			c.mu.Lock()
			c.lines = append(c.lines, lines.Text())
			c.mu.Unlock()
		}
	}()
	t.Cleanup(c.kill)
	return c
}

// kill ends the process as a crash does: it runs nothing of its own any more.
func (c *child) kill() {
	_ = c.cmd.Process.Kill() // it may have ended
	<-c.ended
	_ = c.cmd.Wait()
}

func (c *child) delivered() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.lines)
}

// The owner is killed while it works; the other relay takes over within about one
// lease, nothing is lost, and the first copies are in order.
func TestARelayThatIsKilledIsReplacedWithinOneLease(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db dbtest.Database) {
		w := newWorld(t, install(t, db, "", ""))
		w.cfg.LeaseTTL = childLease
		victim := startChild(t, db.URL)
		written := 0
		write := func(n int) {
			for range n {
				written++
				w.commit("k", fmt.Sprint("k", written))
			}
		}
		write(50)
		eventually(t, "the child delivers", func() bool { return len(victim.delivered()) >= 50 })
		successor := w.start()
		write(50)
		require.Zero(t, w.sink.count(), "both deliver")
		victim.kill()
		killed := time.Now()
		write(20)
		w.waitPublished(1)
		tookOver := time.Since(killed)
		w.waitEmpty()
		require.NoError(t, successor.stop())

		require.Less(t, tookOver, 2*childLease, "taken over too late")
		seen := make(map[string]bool)
		var first []string
		for _, v := range append(victim.delivered(), w.sink.values()...) {
			v = strings.TrimSpace(v)
			if !seen[v] {
				first = append(first, v)
			}
			seen[v] = true
		}
		requireOrder(t, first, "k", written)
	})
}
