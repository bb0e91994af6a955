package chaos

import (
	"bytes"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/history"
)

func text(t *testing.T, r *Report) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, r.Write(&b))
	return b.String()
}

func TestTheReportHasALineForEachProperty(t *testing.T) {
	r := &Report{Database: PostgreSQL, Mode: AtLeastOnce, Seed: 42}
	again := history.Offender{
		Arrival: history.Arrival{Event: history.Event{ID: uuid.UUID{1}}, Offset: 7}, Note: "again",
	}
	found := history.Findings{history.Duplicates: {Count: 1, Offenders: []history.Offender{again}}}
	r.judge(found)
	require.True(t, r.Passed())
	said := text(t, r)
	require.Contains(t, said, "seed 42")
	require.Regexp(t, `lost +0  ok`, said)
	require.Regexp(t, `duplicates +1  reported`, said)
	require.Regexp(t, `refused events sent +0  ok`, said)
	require.NotContains(t, said, "offset 7")
	require.Contains(t, said, "passed")

	r = &Report{Mode: ExactlyOnce}
	r.judge(found)
	require.False(t, r.Passed())
	said = text(t, r)
	require.Regexp(t, `duplicates +1  BROKEN\n +event 01000000-.* offset 7; again`, said)
	require.Contains(t, said, "FAILED")
}

func TestAProblemFailsARunWhoseHistoryIsRight(t *testing.T) {
	r := &Report{Mode: AtLeastOnce}
	require.False(t, r.Passed(), "nothing was judged")
	r.judge(history.Findings{})
	require.True(t, r.Passed())
	r.problem("relay-%d ended with 1", 2)
	require.False(t, r.Passed())
	require.Contains(t, text(t, r), "PROBLEM: relay-2 ended with 1")
}

func TestTheLogAroundATimeIsFound(t *testing.T) {
	log, err := newTimeline(filepath.Join(t.TempDir(), "log"), nil)
	require.NoError(t, err)
	defer log.close()
	log.start = time.Now().Add(-time.Minute)
	log.say("relay-1.3", "now\nand here")
	for at, want := range map[time.Duration]int{0: 1, 5 * time.Second: 1, time.Minute: 0, -time.Minute: 0} {
		lines, err := log.around(time.Now().Add(at), 10*time.Second)
		require.NoError(t, err)
		require.Len(t, lines, want, "%v", at)
	}
	require.Len(t, log.tail("relay-1"), 1)
	require.Empty(t, log.tail("relay-2"))
}
