package conformance

import (
	"flag"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// TestMain runs the tests, or one relay: the tests of abrupt ends start this program
// again as a process that they can kill.
func TestMain(m *testing.M) {
	if url := os.Getenv(childDatabase); url != "" {
		os.Exit(runChild(url))
	}
	// The installations wait for servers' disks more than they compute: more of them
	// at a time than there are processors. An explicit -parallel comes later and wins.
	if err := flag.Set("test.parallel", "5"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// patience bounds every wait for a condition. It is no measure of speed: a test that
// needs it has failed.
const patience = time.Minute

func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	require.Eventually(t, cond, patience, 2*time.Millisecond, what)
}
