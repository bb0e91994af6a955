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

// clientLogger hands franz-go's log to slog. What it calls a warning, or an error with a
// cause, is one try of many while a broker is away or refuses us: that is detail here,
// because the session reports the outage itself, once (outage.go).
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

// trouble remembers why a client last failed to connect or to log in. kgo tries again
// for ever, and tells nobody else.
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

// recent returns the last error, if it is of the time since then.
func (t *trouble) recent(since time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.at.Before(since) {
		return nil
	}
	return t.err
}
