//go:build unix

package kafkatest

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

// One random id in 64 begins with a dash, and Kafka's storage tool takes such a cluster id for an option.
func TestNoIDBeginsWithADash(t *testing.T) {
	dash, other := bytes.Repeat([]byte{0xf8}, 16), bytes.Repeat([]byte{0x07}, 16)
	require.Equal(t, "BwcHBwcHBwcHBwcHBwcHBw", newID(bytes.NewReader(append(dash, other...))))
}
