package relaytest_test

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaytest"
)

// blockedVariable in the environment makes TestASinkThatBlocksIsReported run the suite. Without it the test
// starts the suite in another process and checks the result.
const blockedVariable = "POSTROOM_TEST_BLOCKED_SINK"

// The suite fails its test, so another process runs it.
func TestASinkThatBlocksIsReported(t *testing.T) {
	if os.Getenv(blockedVariable) != "" {
		relaytest.Sink(t, func(t *testing.T) relaytest.Target {
			target := newTarget(t)
			target.Sink, target.Patience = blockedSink{target.Sink}, 100*time.Millisecond
			return target
		})
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	suite := exec.CommandContext(ctx, os.Args[0], "-test.v", "-test.run=^"+t.Name()+"$")
	suite.Env = append(os.Environ(), blockedVariable+"=1")
	said, err := suite.CombinedOutput()
	require.NoError(t, ctx.Err(), "the suite hangs:\n%s", said)
	require.Error(t, err)
	for _, check := range []string{
		"every_record_is_acknowledged_once,_and_is_there",
		"the_slice_belongs_to_the_caller_again_after_Deliver",
		"no_record_is_published_behind_a_failed_one_of_its_key",
		"an_outage_loses_nothing_and_keeps_the_order",
		"Deliver_blocks_no_longer_than_its_context_lives",
	} {
		require.Contains(t, string(said), "--- FAIL: "+t.Name()+"/"+check)
	}
	require.Contains(t, string(said), "Deliver does not return")
	require.NotContains(t, string(said), "panic:")
}

// blockedSink accepts no record, and ignores the context.
type blockedSink struct{ relay.Sink }

func (b blockedSink) Open(ctx context.Context, ack relay.Ack) (relay.Session, error) {
	session, err := b.Sink.Open(ctx, ack)
	return blockedSession{session}, err
}

type blockedSession struct{ relay.Session }

func (blockedSession) Deliver(context.Context, []*relay.Record) { select {} }
