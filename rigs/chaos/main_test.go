//go:build unix

package chaos

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/postroom/postroom/internal/cli"
)

// asRelay in the environment makes this program the relay command, because the tests of disasters run relays
// as separate processes.
const asRelay = "CHAOS_TEST_AS_RELAY"

func TestMain(m *testing.M) {
	if os.Getenv(asRelay) != "" {
		os.Exit(cli.Main(cli.Env{Args: os.Args[1:], Environ: os.Environ(), Stdout: os.Stdout, Stderr: os.Stderr}))
	}
	if err := os.Setenv(asRelay, "yes"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}
