package main

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheRelayDrainsAMillionRowsInLessThan128MB(t *testing.T) {
	needServers(t, postgreSQL)
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"memory"}, &out))
	t.Log(out.String())
}

func TestMemoryFailsWhenTheLimitIsReached(t *testing.T) {
	needServers(t, postgreSQL)
	err := run(t.Context(), []string{"memory", "-rows", "1000", "-limit", "1"}, &bytes.Buffer{})
	require.ErrorIs(t, err, errMissed)
}

func TestDrainAlternatesAndReportsEachRound(t *testing.T) {
	for _, database := range []string{postgreSQL, mariaDB} {
		t.Run(database, func(t *testing.T) {
			needServers(t, database)
			var out bytes.Buffer
			require.NoError(t, run(
				t.Context(),
				[]string{
					"drain", "-database", database, "-rows", "20000", "-rounds", "2", "-warmup", "0", "-json",
				},
				&out,
			))
			t.Log(out.String())
			var r drainReport
			require.NoError(t, json.Unmarshal(out.Bytes(), &r))
			require.Len(t, r.Rounds, 4)
			for i, f := range r.Rounds {
				require.Equal(t, []string{ceilingName, relayName}[i%2], f.Contender)
				require.Equal(t, 1+i/2, f.Round)
				require.Positive(t, f.Rate)
				require.Positive(t, f.CPU)
				require.Positive(t, f.PeakMB)
			}
			require.InDelta(t, r.Medians[relayName].Rate/r.Medians[ceilingName].Rate, r.Ratio, 1e-9)
			require.LessOrEqual(t, r.Lowest, r.Highest)
		})
	}
}

func TestDrainInTransactionsCountsWhatIsCommitted(t *testing.T) {
	needServers(t, postgreSQL)
	var out bytes.Buffer
	require.NoError(t, run(t.Context(),
		[]string{"drain", "-mode", "exactly-once", "-rows", "25000", "-rounds", "1", "-warmup", "0", "-json"}, &out))
	t.Log(out.String())
	var r drainReport
	require.NoError(t, json.Unmarshal(out.Bytes(), &r))
	require.Len(t, r.Rounds, 2)
	require.Equal(t, 10000, r.Settings.Batch)
	require.Positive(t, r.Ratio)
}

func TestParkedComparesTheDrainWithAndWithoutBlockedEvents(t *testing.T) {
	for _, database := range []string{postgreSQL, mariaDB} {
		t.Run(database, func(t *testing.T) {
			needServers(t, database)
			var out bytes.Buffer
			require.NoError(t, run(
				t.Context(),
				[]string{
					"parked", "-database", database, "-rows", "5000", "-blocked", "1000", "-rounds", "1", "-json",
				},
				&out,
			))
			t.Log(out.String())
			var r parkedReport
			require.NoError(t, json.Unmarshal(out.Bytes(), &r))
			require.Len(t, r.Rounds, 2)
			require.Positive(t, r.Ratio)
		})
	}
}

func TestArchiveComparesTheDrainWithTheArchiveOnAndOff(t *testing.T) {
	for _, database := range []string{postgreSQL, mariaDB} {
		t.Run(database, func(t *testing.T) {
			needServers(t, database)
			var out bytes.Buffer
			require.NoError(
				t,
				run(
					t.Context(), []string{"archive", "-database", database, "-rows", "5000", "-rounds", "1", "-json"},
					&out,
				),
			)
			t.Log(out.String())
			var r archiveReport
			require.NoError(t, json.Unmarshal(out.Bytes(), &r))
			require.Len(t, r.Rounds, 2)
			require.Positive(t, r.Ratio)
		})
	}
}

func TestInboxAlternatesAllContendersAndComparesThem(t *testing.T) {
	needServers(t, postgreSQL)
	var out bytes.Buffer
	require.NoError(
		t,
		run(
			t.Context(),
			[]string{"inbox", "-rows", "4000", "-slow-rows", "200", "-rounds", "1", "-warmup", "0", "-json"}, &out,
		),
	)
	t.Log(out.String())
	var r inboxReport
	require.NoError(t, json.Unmarshal(out.Bytes(), &r))
	require.Len(t, r.Slices, 2*len(inboxContenders)-1) // COPY has no source
	require.Len(t, r.Comparisons, 8)
	for _, c := range r.Comparisons {
		require.Positive(t, c.Ratio)
		require.LessOrEqual(t, c.Lowest, c.Highest)
	}
	require.NotEmpty(t, r.Server["fsync"])
}

func TestInboxLatencyCountsEachMessageOnce(t *testing.T) {
	needServers(t, postgreSQL)
	var out bytes.Buffer
	require.NoError(
		t, run(t.Context(), []string{"inbox-latency", "-rate", "100", "-for", "1s", "-rounds", "1", "-json"}, &out),
	)
	t.Log(out.String())
	var r inboxLatencyReport
	require.NoError(t, json.Unmarshal(out.Bytes(), &r))
	require.Len(t, r.Medians, 3)
	for _, m := range r.Medians {
		require.Equal(t, 100, m.Messages)
		require.Positive(t, m.P50)
		require.LessOrEqual(t, m.P50, m.P99)
	}
}

func TestLatencyCountsEveryEventOfTheRelay(t *testing.T) {
	needServers(t, postgreSQL)
	var out bytes.Buffer
	require.NoError(
		t, run(t.Context(), []string{"latency", "-rate", "200", "-for", "2s", "-rounds", "1", "-json"}, &out),
	)
	t.Log(out.String())
	var r latencyReport
	require.NoError(t, json.Unmarshal(out.Bytes(), &r))
	require.Equal(t, 400, r.Medians[relayName].Events)
	require.Positive(t, r.Medians[bareName].Events)
}

func TestWrongUsageIsAnErrorBeforeAnythingStarts(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"a benchmark that is not there": {[]string{"speed"}, `no benchmark "speed"`},
		"an unknown database":           {[]string{"memory", "-database", "oracle"}, `"oracle"`},
		"no rounds":                     {[]string{"drain", "-rounds", "0"}, "-rounds"},
		"an unknown mode":               {[]string{"drain", "-mode", "twice"}, "-mode"},
		"nothing blocked":               {[]string{"parked", "-blocked", "0"}, "-blocked"},
		"an archive without rows":       {[]string{"archive", "-rows", "0"}, "-rows"},
		"inbox without rounds":          {[]string{"inbox", "-rounds", "0"}, "-rounds"},
		"an unknown source":             {[]string{"inbox", "-source", "disk"}, `"disk"`},
		"an unknown contender":          {[]string{"inbox", "-only", "magic"}, `"magic"`},
		"inbox latency without a rate":  {[]string{"inbox-latency", "-rate", "0"}, "-rate"},
		"no rate":                       {[]string{"latency", "-rate", "0"}, "-rate"},
		"a flag that is not there":      {[]string{"drain", "-speed"}, "-speed"},
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorContains(t, run(t.Context(), c.args, &bytes.Buffer{}), c.says)
		})
	}
}
