package inbox_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/store/inbox"
)

// What a consumer recorded before a row was applied, or at that moment, says nothing about it: it may have
// been of a topic that was made anew since.
func TestAConsumersWordCountsForRowsThatAreOlder(t *testing.T) {
	for _, c := range []struct {
		name                  string
		youngest, recordedAgo time.Duration
		kept                  string
	}{
		{"recorded after it", 3 * time.Hour, 2 * time.Hour, ""},
		{"recorded at that moment", 3 * time.Hour, 3 * time.Hour, "has recorded nothing for 3h0m0s"},
		{"recorded before it", 3 * time.Hour, 4 * time.Hour, "has recorded nothing for 4h0m0s"},
		{"recorded a day ago", 48 * time.Hour, 24 * time.Hour, ""},
		{"recorded longer ago", 48 * time.Hour, 24*time.Hour + time.Second, "has recorded nothing for 24h0m1s"},
	} {
		g := inbox.DayGroup{Consumer: "billing", HasExpiry: true, Retention: time.Hour, Youngest: c.youngest,
			ExpiryAge: c.recordedAgo}
		why := g.KeptBecause()
		require.Equal(t, c.kept == "", why == "", "%s: %s", c.name, why)
		require.Contains(t, why, c.kept, c.name)
	}
}
