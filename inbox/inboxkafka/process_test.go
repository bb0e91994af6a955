package inboxkafka_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/inboxkafka"
	"github.com/postroom/postroom/internal/dbopen"
	"github.com/postroom/postroom/internal/dbtest"
)

// Environment of a consumer in a process of its own.
const (
	memberDatabase = "INBOXKAFKA_MEMBER_DATABASE"
	memberTopic    = "INBOXKAFKA_MEMBER_TOPIC"
	memberMode     = "INBOXKAFKA_MEMBER_MODE"
	memberPrefix   = "INBOXKAFKA_MEMBER_PREFIX" // of its tables
	memberSleeper  = "INBOXKAFKA_MEMBER_SLEEPER"
)

// sleeper is the message at which a sleeping member stops itself, and its instance id.
const sleeper = "sleeper"

// TestMember is a consumer in a process of its own, whose log goes to its output. It is run by other
// tests alone, until its input ends or Run does.
func TestMember(t *testing.T) {
	url := os.Getenv(memberDatabase)
	if url == "" {
		return
	}
	target, err := dbopen.Open(t.Context(), url)
	require.NoError(t, err)
	w := world{topic: os.Getenv(memberTopic), brokers: strings.Split(dbtest.Kafka(t), ",")}
	w.Dialect, w.DB = target.Dialect, target.DB
	defer func() { require.NoError(t, w.DB.Close()) }()
	cfg := w.config(t, inboxkafka.Mode(os.Getenv(memberMode)))
	cfg.Inbox = w.inbox(t, inbox.WithTablePrefix(os.Getenv(memberPrefix)))
	cfg.Logger = slog.New(slog.NewTextHandler(os.Stdout, nil))
	h := w.effect
	if os.Getenv(memberSleeper) != "" {
		cfg.ExactlyOnceTopics = cfg.Topics // nothing but the epoch is in its way
		cfg.Options = append(cfg.Options, kgo.InstanceID(sleeper))
		awake := make(chan os.Signal, 1)
		signal.Notify(awake, syscall.SIGCONT)
		h = func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
			err := w.effect(ctx, tx, m)
			fmt.Println("asleep")
			err = errors.Join(err, syscall.Kill(os.Getpid(), syscall.SIGSTOP))
			<-awake // this thread may be the last to stop
			return err
		}
	}
	ctx, stop := signal.NotifyContext(t.Context(), syscall.SIGTERM)
	defer stop()
	c, err := inboxkafka.New(cfg)
	require.NoError(t, err)
	fmt.Println("run ended:", c.Run(ctx, h))
}

// process is a member in a process of its own.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}

	mu  sync.Mutex
	out bytes.Buffer
}

// startMember starts one; env is name=value.
func (w world) startMember(t *testing.T, mode inboxkafka.Mode, env ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(os.Args[0], "-test.run=^TestMember$", "-test.v"), done: make(chan struct{})}
	p.cmd.Env = append(append(os.Environ(), memberDatabase+"="+w.URL, memberTopic+"="+w.topic,
		memberMode+"="+string(mode)), env...)
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	p.cmd.Stderr = p.cmd.Stdout
	require.NoError(t, p.cmd.Start())
	go func() {
		defer close(p.done)
		_, _ = io.Copy(p, out)
		_ = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
	})
	return p
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

func (p *process) signal(t *testing.T, s os.Signal) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(s))
}

// says waits until the process has said a text.
func (p *process) says(t *testing.T, text string) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !strings.Contains(p.output(), text) {
		select {
		case <-deadline:
			require.FailNow(t, "the process has not said "+text, p.output())
		case <-tick.C:
		}
	}
}

// ends asks the process to, and waits.
func (p *process) ends(t *testing.T) string {
	t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(patience):
		require.FailNow(t, "the process does not end", p.output())
	}
	return p.output()
}
