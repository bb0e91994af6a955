//go:build unix

package main

import (
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/examples/shop/driver"
	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/invariants"
	"github.com/postroom/postroom/examples/shop/rules"
)

func troublesOf(seed uint64) (all []trouble) {
	for t := range plan(seed, true) {
		if t.at > time.Minute {
			return all
		}
		all = append(all, t)
	}
	return all
}

func TestAMinuteHasEnoughTroubleOfEachKindAndASeedDecidesIt(t *testing.T) {
	for seed := range uint64(50) {
		all := troublesOf(seed)
		require.Equal(t, all, troublesOf(seed))
		kinds := map[string]int{}
		for _, one := range all {
			kinds[one.kind]++
		}
		for _, kind := range []string{
			killProcess, stopProcess, cutDatabase, killKafka, restartKafka, restartAMQP, killRedis, rebuildViews,
		} {
			require.Positive(t, kinds[kind], "%s, seed %d", kind, seed)
		}
		require.Greater(t, kinds[killProcess], 40, "seed %d", seed)
	}
	require.NotEqual(t, troublesOf(1), troublesOf(2))
}

func judged(o options, r report) report {
	r.judge(o)
	return r
}

func TestARunPassesOnlyIfWhatWasExpectedHasCome(t *testing.T) {
	good := report{
		Counts: driver.Counts{Accepted: 10}, Troubles: map[string]int{killProcess: 4, killRedis: 1, cutDatabase: 3},
		Rows: []invariants.Row{{Name: "rest", Holds: true}, {Name: "e-mails", Holds: true}},
	}
	bad := good
	bad.Rows = []invariants.Row{{Name: "rest", Holds: true}, {Name: "e-mails"}}
	all := options{orders: 10, kills: 5}
	require.True(t, judged(all, good).Passed)
	require.False(t, judged(all, bad).Passed)

	few := good
	few.Counts.Accepted = 9
	require.False(t, judged(all, few).Passed)
	few = good
	few.Troubles = map[string]int{killProcess: 4, cutDatabase: 30}
	require.False(t, judged(all, few).Passed)
	alarmed := good
	alarmed.Alarms = []string{"stock: panic: …"}
	require.False(t, judged(all, alarmed).Passed)

	without := options{ruleOff: rules.Inbox}
	require.False(t, judged(without, good).Passed)
	require.True(t, judged(without, bad).Passed)
}

func TestAnOrderEndsAsItsLastEventsSay(t *testing.T) {
	placed := fact{version: 1, kind: events.TypeOrderPlaced}
	confirmed := fact{version: 2, kind: events.TypeOrderConfirmed}
	wish := fact{version: 3, kind: events.TypeOrderCancelRequested}
	cancelled := fact{version: 4, kind: events.TypeOrderCancelled, reason: events.ReasonCustomer}
	require.Equal(t, "placed", outcome([]fact{placed}))
	require.Equal(t, "confirmed", outcome([]fact{placed, confirmed}))
	require.Equal(t, "cancelling", outcome([]fact{placed, confirmed, wish}))
	require.Equal(t, "cancelled: customer", outcome([]fact{placed, confirmed, wish, cancelled}))
}

func TestFlags(t *testing.T) {
	o, err := parse([]string{"-duration", "2m", "-rule-off", "inbox"}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, 10_000, o.orders)
	require.Equal(t, 80, o.kills)
	require.NotZero(t, o.seed)
	_, err = parse([]string{"-rule-off", "gravity"}, io.Discard)
	require.Error(t, err)
	_, err = parse([]string{"more"}, io.Discard)
	require.Error(t, err)
}
