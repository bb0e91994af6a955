//go:build unix

package chaos

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience bounds waits for a condition. It does not measure speed.
const patience = 30 * time.Second

// shell returns a fleet of shell scripts.
func shell(t *testing.T, n int, script string) *fleet {
	t.Helper()
	log, err := newTimeline(filepath.Join(t.TempDir(), "timeline.log"), nil)
	require.NoError(t, err)
	t.Cleanup(log.close)
	f := startFleet(n, "relay", "/bin/sh", same("-c", script), nil, log, func(string, string) {})
	t.Cleanup(f.kill9)
	return f
}

func (f *fleet) incarnations() (all []int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.slots {
		all = append(all, s.incarnation)
	}
	return all
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	require.Eventually(t, cond, patience, time.Millisecond, what)
}

const obedient = `trap 'exit 0' TERM; echo 'msg=started'; while :; do sleep 0.01; done`

func terminate(t *testing.T, f *fleet) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return f.terminate(ctx)
}

func TestARelayThatWasKilledIsStartedAgain(t *testing.T) {
	f := shell(t, 3, obedient)
	eventually(t, "all are up", f.allStarted)
	hit, owner := f.kill(Trouble{Relay: 1}, false)
	require.True(t, hit)
	require.False(t, owner)
	eventually(t, "it is up again", func() bool { return f.allStarted() && f.incarnations()[1] == 2 })
	require.Equal(t, []int{1, 2, 1}, f.incarnations())
	require.NoError(t, terminate(t, f))
	require.Empty(t, f.ended, "a kill is none of its own")
}

func TestTheOwnerIsTheRelayThatClaimedLast(t *testing.T) {
	lease := filepath.Join(t.TempDir(), "lease") // one of the scripts creates it
	f := shell(
		t, 2,
		`trap 'exit 0' TERM; echo 'msg=started'; mkdir `+lease+
			` && echo 'msg="lease claimed"'; while :; do sleep 0.01; done`,
	)
	eventually(t, "one has claimed", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.owner >= 0
	})
	eventually(t, "all are up", f.allStarted)
	f.mu.Lock()
	victim := f.owner
	f.mu.Unlock()
	resume, owner := f.stop(Trouble{Owner: true, Relay: 1 - victim})
	require.NotNil(t, resume)
	require.True(t, owner)
	require.False(t, f.allStarted(), "one is stopped")
	hit, _ := f.kill(Trouble{Owner: true}, false)
	require.True(t, hit, "the other is at work")
	require.True(t, resume(), "it was stopped all the time")
	require.NoError(t, terminate(t, f))
}

func TestAHandOverIsToldFromALeaseThatWasLost(t *testing.T) {
	for says, want := range map[string]bool{
		`msg="handing this source over: the sink cannot be reached from here"`: true, `msg="lease lost"`: false,
	} {
		dir := t.TempDir()
		// One process creates the first file, and then the other creates the next.
		first, next := filepath.Join(dir, "first"), filepath.Join(dir, "next")
		f := shell(t, 2, `trap 'exit 0' TERM; echo 'msg=started'
			if mkdir `+first+`; then
				echo 'msg="lease claimed"'; while [ ! -e `+dir+`/go ]; do sleep 0.01; done; echo '`+says+`'; mkdir `+
			next+`
			else
				while [ ! -d `+next+` ]; do sleep 0.01; done; echo 'msg="lease claimed"'
			fi
			while :; do sleep 0.01; done`)
		eventually(t, "all are up", f.allStarted)
		var owner process
		eventually(t, "one has claimed", func() (ok bool) { owner, ok = f.ownerAtWork(); return ok })
		require.False(t, f.takenOver(owner))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "go"), nil, 0o600))
		eventually(t, "the other has claimed", func() bool { return f.takenOver(owner) })
		eventually(t, "it has spoken", func() bool { return len(f.log.tail("relay-"+fmt.Sprint(owner.number))) >= 4 })
		require.Equal(t, want, f.handedOver(owner), says)
		require.NoError(t, terminate(t, f))
	}
}

func TestAPauseThatAKillCutShortDoesNotCount(t *testing.T) {
	f := shell(t, 1, obedient)
	eventually(t, "it is up", f.allStarted)
	resume, _ := f.stop(Trouble{})
	require.NotNil(t, resume)
	again, _ := f.stop(Trouble{})
	require.Nil(t, again, "it is stopped already")
	hit, _ := f.kill(Trouble{}, false)
	require.False(t, hit, "nobody is at work")
	hit, _ = f.kill(Trouble{}, true)
	require.True(t, hit)
	eventually(t, "it is up again", f.allStarted)
	require.False(t, resume())
	require.NoError(t, terminate(t, f))
}

func TestARelayThatEndsByItselfOrSaysWhatItShouldNotIsNoted(t *testing.T) {
	f := shell(t, 1, `echo 'panic: at the disco'; exit 2`)
	eventually(t, "it was started twice", func() bool { return f.incarnations()[0] >= 2 })
	f.kill9()
	require.Contains(t, f.ended[0], "exit status 2: panic: at the disco")
	require.Contains(t, f.panics[0], "panic: at the disco")
}

func TestARelayThatFailsToDrainIsAProblem(t *testing.T) {
	f := shell(t, 1, `trap 'echo gave up; exit 1' TERM; echo 'msg=started'; while :; do sleep 0.01; done`)
	eventually(t, "it is up", f.allStarted)
	require.ErrorContains(t, terminate(t, f), "ended with 1 after SIGTERM")
}

func TestARelayThatDoesNotEndIsKilledAndAProblem(t *testing.T) {
	f := shell(t, 1, `trap '' TERM; echo 'msg=started'; while :; do sleep 0.01; done`)
	eventually(t, "it is up", f.allStarted)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorContains(t, f.terminate(ctx), "did not end after SIGTERM")
}
