package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTwoSecondsEndWithEverythingInPlace(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, Run(t.Context(), Options{Out: &out, JSON: true, Duration: 2 * time.Second}))

	var r Result
	require.NoError(t, json.Unmarshal(out.Bytes(), &r))
	require.True(t, r.OK)
	require.Positive(t, r.Orders)
	require.Positive(t, r.RolledBack, "some orders are rolled back on purpose")
	require.Positive(t, r.Copies, "some messages are handed over twice on purpose")
	require.Equal(t, r.Orders, r.Deliveries)
	require.Equal(t, r.Orders, r.Invoices)
	require.Positive(t, r.Latency.P50)
	require.GreaterOrEqual(t, r.Latency.P99, r.Latency.P50)
	require.Len(t, r.Checks, 8)
}

func TestBillingReadsSomeMessagesAgainAtHalfTime(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, Run(t.Context(), Options{Out: &out, JSON: true, Orders: 200, Rate: 1000}))

	var r Result
	require.NoError(t, json.Unmarshal(out.Bytes(), &r))
	require.GreaterOrEqual(t, r.Copies, r.Orders/copyEvery+goBack, "beside every ninth, which is handed over twice")
}

func TestACancelledRunStillDeliversAndChecksWhatItWrote(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out bytes.Buffer
	o := Options{Out: &out, JSON: true, Duration: time.Hour}
	o.hooks.built = func(p *parts) {
		process := p.billing.process
		p.billing.process = afterCalls(30, cancel, process)
	}
	require.NoError(t, Run(ctx, o))

	var r Result
	require.NoError(t, json.Unmarshal(out.Bytes(), &r))
	require.True(t, r.OK)
	require.GreaterOrEqual(t, r.Orders, int64(20))
	require.Equal(t, r.Orders, r.Invoices)
}

func TestARunThatWritesNothingIsInPlaceToo(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, Run(ctx, Options{Out: io.Discard}))
}

func TestWithoutATerminalTheViewIsLines(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, Run(t.Context(), Options{Out: &out, Orders: 50, Rate: 500}))
	require.Contains(t, out.String(), " committed ")
	require.NotContains(t, out.String(), "\x1b")
	require.Contains(t, out.String(), "\nOK: ")
}

func TestOnATerminalTheViewIsRedrawnWithin80Columns(t *testing.T) {
	st := newStats()
	st.counts = counts{
		Committed: 1_234_567, RolledBack: 123_456, Delivered: 1_234_000, Invoices: 1_233_999, Dropped: 999_999,
	}
	var out bytes.Buffer
	v := newView(Options{Out: &out, Interactive: true}, st)
	v.started = time.Now()
	v.last = v.started
	for i := range 100 {
		st.counts.Invoices += 300
		v.draw(v.started.Add(time.Duration(i+1) * v.every))
	}
	frames := strings.Split(out.String(), "\x1b[10A")
	require.Len(t, frames, 100, "every frame but the first goes up over the one before")
	for line := range strings.SplitSeq(frames[99], "\n") {
		require.LessOrEqual(t, len([]rune(strings.TrimPrefix(line, "\x1b[2K"))), 80, line)
	}
	require.Contains(t, frames[99], "1,234,567")
}

func TestWhatCannotBeRunIsSaidAtOnce(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "shop.db"), nil, 0o600))
	for name, tc := range map[string]struct {
		options Options
		says    []string
	}{
		"everything wrong with the options": {
			Options{Duration: -1, Orders: -1, Rate: MaxRate + 1},
			[]string{"Options.Out", "duration of -1ns", "-1 orders", "5001 orders a second"},
		},
		"a directory of an earlier run": {
			Options{Out: io.Discard, Dir: dir},
			[]string{"shop.db is there already", "another directory"},
		},
		"a directory that is a file": {
			Options{Out: io.Discard, Dir: filepath.Join(dir, "shop.db")},
			[]string{"shop.db"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := Run(t.Context(), tc.options)
			require.NotErrorIs(t, err, ErrCheckFailed)
			for _, part := range tc.says {
				require.ErrorContains(t, err, part)
			}
		})
	}
}

func TestAGivenDirectoryKeepsItsDatabases(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "demo")
	require.NoError(t, Run(t.Context(), Options{Out: io.Discard, Orders: 5, Dir: dir}))
	require.FileExists(t, filepath.Join(dir, "shop.db"))
	require.FileExists(t, filepath.Join(dir, "billing.db"))
}
