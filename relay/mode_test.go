package relay

import (
	"context"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
)

// warned keeps the lines that are warnings.
type warned struct{ *lines }

func (warned) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

// Hazard mode-switch.
// A second relay is started without --mode while another one owns the source in exactly-once mode. It logs
// this while it waits, and when it takes over.
func TestARelayThatSwitchesExactlyOnceOffWarns(t *testing.T) {
	t.Parallel()
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newExactly(t, db)
		owner := b.start()
		eventually(t, "the owner relays exactly once", func() bool { return b.mode() == "exactly-once" })
		b.cfg.Mode = AtLeastOnce
		waiting, log := b.relay(), warned{&lines{}}
		waiting.log = slog.New(log)
		stop := start(t, waiting)
		eventually(t, "it warns while it waits", func() bool { return log.count("would switch that off") == 1 })
		require.Zero(t, log.count("mode changed"))
		require.NoError(t, owner())
		eventually(t, "it takes over", func() bool { return b.mode() == "at-least-once" })
		require.NoError(t, stop())
		require.Equal(t, 1, log.count("would switch that off"))
		require.Equal(t, 1, log.count("mode changed: exactly-once is switched off"))
		require.Equal(t, 2, log.count("--mode exactly-once"), "both say what to type")

		b.cfg.Mode = ExactlyOnce
		back, log := b.relay(), warned{&lines{}}
		back.log = slog.New(log)
		stop = start(t, back)
		eventually(t, "the mode is back", func() bool { return b.mode() == "exactly-once" })
		require.NoError(t, stop())
		require.Zero(t, log.count("mode"), "nothing is lost by that")
	})
}
