package doctor_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/doctor"
)

// The servers have the clock of this host, so the test changes the host's clock.
func TestAClockThatIsOffIsTold(t *testing.T) {
	onServers(t, func(t *testing.T, c *clinic) {
		for off, way := range map[time.Duration]string{time.Hour: "behind", -time.Hour: "ahead of"} {
			c.opts.Now = func() time.Time { return time.Now().Add(off) }
			skew := c.examine().only(t, "clock.skew")
			requireFinding(t, skew, doctor.Warning, "the test's database", "timedatectl status")
			require.Regexp(t, `^the database's clock is (59m5\d|1h0m\d)s `+way+` this host's`, skew.What)
		}
	})
}

// A slow network is not a wrong clock.
func TestWhatTheRoundTripMayExplainIsNotTold(t *testing.T) {
	f := healthyFacts()
	f.Ahead, f.Uncertainty = 1400*time.Millisecond, 500*time.Millisecond
	require.Empty(t, findings(f.Check()).all("clock.skew"))
	f.Uncertainty = 300 * time.Millisecond
	require.Len(t, findings(f.Check()).all("clock.skew"), 1)
}
