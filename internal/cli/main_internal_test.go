package cli

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/relay"
)

// In exactly-once mode a transaction that was not completed is aborted: no consumer that reads committed sees it.
func TestOnlyAtLeastOnceMaySendAgainAfterASecondSignal(t *testing.T) {
	require.Contains(t, stoppedAtOnce(relay.AtLeastOnce), "may be sent again")
	require.NotContains(t, stoppedAtOnce(relay.ExactlyOnce), "sent again")
	require.Contains(t, stoppedAtOnce(relay.ExactlyOnce), "no event is lost")
}
