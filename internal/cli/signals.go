package cli

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/postroom/postroom/relay"
)

// untilSignal returns a context that ends at the first SIGTERM or SIGINT, for commands
// that have nothing to drain.
func untilSignal(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
}

// drainOnSignal returns a context that ends at the first SIGTERM or SIGINT. The second
// one calls exit. The caller calls stop when it is done; then signals have their usual
// effect again.
func drainOnSignal(parent context.Context, mode relay.Mode, log *slog.Logger, exit func(int)) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2) // a signal is dropped when nobody has room for it
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	over, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case s := <-signals:
			log.Info("draining: delivering what is on its way; another signal stops at once", "signal", s.String())
			cancel()
		case <-over:
			return
		}
		select {
		case s := <-signals:
			log.Error(stoppedAtOnce(mode), "signal", s.String())
			exit(exitFailed)
		case <-over:
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(over)
		<-ended
		cancel()
	}
}

// stoppedAtOnce says what a drain that was cut short leaves behind.
func stoppedAtOnce(mode relay.Mode) string {
	if mode == relay.ExactlyOnce {
		return "stopped at once: nothing is lost, and no record becomes visible twice: the next relay ends the transaction that is open"
	}
	return "stopped at once: nothing is lost, some records may be sent again"
}
