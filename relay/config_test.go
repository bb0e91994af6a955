package relay

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

// transactionalSink is a testSink that has transactions by its type only.
type transactionalSink struct{ testSink }

func (*transactionalSink) OpenTransactional(context.Context, Identity, []byte, Ack) (TransactionalSession, error) {
	return nil, errors.New("not here")
}

func TestExactlyOnceNeedsASinkWithTransactions(t *testing.T) {
	err := Config{Mode: ExactlyOnce, Sink: &testSink{}}.withDefaults().validate()
	require.ErrorContains(t, err, "*relay.testSink has no transactions")
	err = Config{Mode: ExactlyOnce, Sink: &transactionalSink{}}.withDefaults().validate()
	require.NotContains(t, err.Error(), "transactions")
}

func TestAnUnknownModePolicyOrPatternIsRefusedByName(t *testing.T) {
	err := Config{Mode: "twice", OnRejection: "ignore",
		Topics: []string{"a*b", "", "**", "fine*"}}.withDefaults().validate()
	for _, want := range []string{
		`Mode is "twice": want "at-least-once", "exactly-once"`,
		`OnRejection is "ignore": want "block-key", "skip", "halt"`,
		`Topics: "a*b": a * may only be the last character`,
		`Topics: "**": a *`,
		"in Topics: a topic is empty",
	} {
		require.ErrorContains(t, err, want)
	}
	require.NotContains(t, err.Error(), "fine")
}

func TestTheDefaultsAreAtLeastOnceAndBlockKey(t *testing.T) {
	c := Config{}.withDefaults()
	require.Equal(t, AtLeastOnce, c.Mode)
	require.Equal(t, BlockKey, c.OnRejection)
}
