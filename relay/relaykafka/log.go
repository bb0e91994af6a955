package relaykafka

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// clientLogger passes franz-go's log on to slog. franz-go logs a warning, or an error with a cause, for each
// attempt while a broker cannot be reached or rejects us. Such lines get level debug here, because the
// session itself reports the outage once (outage.go).
type clientLogger struct {
	log     *slog.Logger
	trouble *trouble // may be nil
}

func (l clientLogger) Level() kgo.LogLevel {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		return kgo.LogLevelInfo
	}
	return kgo.LogLevelError
}

func (l clientLogger) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	at := slog.LevelDebug
	if level == kgo.LogLevelError {
		if cause := causeOf(keyvals); cause == nil {
			at = slog.LevelWarn
		} else if l.trouble != nil {
			l.trouble.note(fmt.Errorf("%s: %w", msg, cause))
		}
	}
	l.log.Log(context.Background(), at, "kafka client: "+msg, keyvals...)
}

func causeOf(keyvals []any) error {
	for i := 0; i+1 < len(keyvals); i += 2 {
		if err, ok := keyvals[i+1].(error); ok && keyvals[i] == "err" {
			return err
		}
	}
	return nil
}

// trouble keeps the reason why a client last failed to connect or to log in. It is needed because kgo retries
// without a limit and reports the reason nowhere else.
type trouble struct {
	mu  sync.Mutex
	err error
	at  time.Time
}

var _ kgo.HookBrokerConnect = (*trouble)(nil)

// OnBrokerConnect is called by kgo when it has dialled a broker.
func (t *trouble) OnBrokerConnect(broker kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if err != nil {
		t.note(fmt.Errorf("broker %s: %w", net.JoinHostPort(broker.Host, fmt.Sprint(broker.Port)), err))
	}
}

func (t *trouble) note(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.err, t.at = err, time.Now()
}

// recent returns the last error, if it happened after since.
func (t *trouble) recent(since time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.at.Before(since) {
		return nil
	}
	return t.err
}
