package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEachMessageMovesTheSagaOnceAndTheOrderThatCannotBePaidIsUndone(t *testing.T) {
	var out strings.Builder
	require.NoError(t, run(t.Context(), &out))
	require.Equal(t, `order-1 order.placed    applied
order-1 order.placed    duplicate
order-1 stock.reserved  applied
order-1 stock.reserved  duplicate
order-1 payment.taken   applied
order-1 payment.taken   duplicate
order-2 order.placed    applied
order-2 order.placed    duplicate
order-2 stock.reserved  applied
order-2 stock.reserved  duplicate
order-2 payment.refused applied
order-2 payment.refused duplicate
order-2 stock.released  applied
order-2 stock.released  duplicate
order-1 is confirmed
order-2 is cancelled
order-1 sent stock.reserve
order-1 sent payment.take
order-2 sent stock.reserve
order-2 sent payment.take
order-2 sent stock.release
`, out.String())
}
