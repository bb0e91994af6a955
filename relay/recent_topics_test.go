package relay

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTopicsInUseAreKeptForDaysAndNotWithoutBound(t *testing.T) {
	day := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	var u recentTopics
	u.note([]*Record{{Topic: "orders"}, {Topic: "orders"}, {Topic: "stock"}}, day)
	require.Equal(t, map[string]string{"orders": "2026-11-20", "stock": "2026-11-20"}, u.days)
	require.True(t, u.changed)

	u.changed = false
	u.note([]*Record{{Topic: "stock"}, {Topic: "orders"}}, day.Add(time.Hour))
	require.False(t, u.changed, "once a day is enough")

	u.note([]*Record{{Topic: "orders"}}, day.Add(8*24*time.Hour))
	require.True(t, u.changed)
	u.trim(day.Add(8 * 24 * time.Hour))
	require.Equal(t, map[string]string{"orders": "2026-11-28"}, u.days, "the other one is long ago")

	for i := range 20_000 {
		u.note([]*Record{{Topic: fmt.Sprint("topic-", i)}}, day.Add(9*24*time.Hour))
	}
	require.LessOrEqual(t, len(u.days), 2*recentTopicsMost)
	u.trim(day.Add(9 * 24 * time.Hour))
	require.Len(t, u.days, recentTopicsMost)
}
