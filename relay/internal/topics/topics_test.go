package topics

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	store "github.com/postroom/postroom/internal/store/relay"
)

func TestTheListOfTopicsAllowsNamesAndPrefixes(t *testing.T) {
	for _, each := range []struct {
		patterns []string
		topic    string
		want     bool
	}{
		{nil, "orders", true},
		{[]string{}, "orders", true},
		{[]string{"orders"}, "orders", true},
		{[]string{"orders"}, "orders.eu", false},
		{[]string{"orders"}, "Orders", false},
		{[]string{"orders.*"}, "orders.eu", true},
		{[]string{"orders.*"}, "orders.", true},
		{[]string{"orders.*"}, "orders", false},
		{[]string{"a", "b*"}, "bc", true},
		{[]string{"a", "b*"}, "ab", false},
		{[]string{"*"}, "anything", true},
	} {
		require.Equal(t, each.want, NewAllowed(each.patterns).Has(each.topic), "%q in %q", each.topic, each.patterns)
	}
}

func TestTopicsInUseAreKeptForDaysAndNotWithoutBound(t *testing.T) {
	const day1, day2 = "2026-11-20", "2026-11-28"
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	var r Recent
	for _, topic := range []string{"orders", "orders", "stock"} {
		r.Note(topic, day1)
	}
	require.Equal(t, map[string]string{"orders": day1, "stock": day1}, r.days)
	require.True(t, r.changed)

	r.changed = false
	r.Note("stock", day1)
	r.Note("orders", day1)
	require.False(t, r.changed, "once a day is enough")

	r.Note("orders", Day(now))
	require.True(t, r.changed)
	r.trim(now)
	require.Equal(t, map[string]string{"orders": day2}, r.days, "the other one is long ago")

	for i := range 20_000 {
		r.Note(fmt.Sprint("topic-", i), Day(now.AddDate(0, 0, 1)))
	}
	require.LessOrEqual(t, len(r.days), 2*keptTopics)
	r.trim(now.AddDate(0, 0, 1))
	require.Len(t, r.days, keptTopics)
}

// leaseRow has the content of a lease row, and the error of the next write.
type leaseRow struct {
	kept string
	text string
	fail error
}

func (l *leaseRow) ReadNote(context.Context, store.Lease, store.Field) ([]byte, error) {
	return []byte(l.kept), nil
}

func (l *leaseRow) Note(_ context.Context, _ store.Lease, n store.Note) error {
	if l.fail == nil {
		l.text = n.Value
	}
	return l.fail
}

func TestASaveKeepsWhatAnotherOwnerHasWrittenAndWaitsLongerAfterAnError(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	row := &leaseRow{kept: `{"stock": "2026-11-27", "orders": "2026-11-29"}`, fail: errors.New("down")}
	var r Recent
	require.False(t, r.SaveDue(now), "there is no news")
	r.Note("orders", Day(now))
	require.True(t, r.SaveDue(now))
	require.ErrorIs(t, r.Save(t.Context(), row, store.Lease{}, now), row.fail)
	require.False(t, r.SaveDue(now.Add(saveEvery)))

	now, row.fail = now.Add(retryEvery), nil
	require.True(t, r.SaveDue(now))
	require.NoError(t, r.Save(t.Context(), row, store.Lease{}, now))
	require.JSONEq(t, `{"orders":"2026-11-29","stock":"2026-11-27"}`, row.text)
	require.False(t, r.SaveDue(now.Add(time.Hour)))

	row.kept = `{"returns": "2026-11-28"}`
	r.Reload()
	r.Note("refunds", Day(now))
	require.False(t, r.SaveDue(now), "not twice in a moment")
	require.NoError(t, r.Save(t.Context(), row, store.Lease{}, now))
	require.Contains(t, row.text, "returns")
}
