package cli

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/config"
	"github.com/postroom/postroom/internal/dbopen"
	"github.com/postroom/postroom/internal/store/source"
)

func TestStatusNamesAnOwnerThatCannotReachItsSink(t *testing.T) {
	d := &database{Target: &dbopen.Target{}, source: config.Source{Name: "orders"}}
	owned := source.State{Owner: "o", LeaseLeft: time.Second, Blind: "2026-11-23T10:00:00Z"}
	state := describe(d, owned)
	require.Equal(t, stateRelaying, state.State)
	require.Equal(t, "its owner cannot reach the sink since 2026-11-23T10:00:00Z", state.Reason)
	require.NoError(t, stopped([]sourceState{state}), "another relay is handed the source, or the sink comes back")

	owned.LeaseLeft = -time.Second
	state = describe(d, owned)
	require.Equal(t, stateStopped, state.State, "nobody owns it")
	require.Empty(t, state.Reason)
}
