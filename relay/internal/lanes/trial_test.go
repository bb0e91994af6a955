package lanes

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/relay/internal/inflight"
)

func TestAGroupOnTrial(t *testing.T) {
	keys := [][]byte{[]byte("a"), []byte("b"), nil, nil, []byte("a"), []byte("c")}
	require.Equal(t, 3, (&Trial{size: 3}).Group(keys, false))
	require.Equal(t, 4, (&Trial{size: 6}).Group(keys, false), "one of each key: a later one may be accepted")
	require.Equal(t, 6, (&Trial{size: 8}).Group(keys, true), "in a transaction all are or none")
	require.Equal(t, 1, (&Trial{size: 1}).Group(keys, true))
}

func TestTheSizeOfAGroupFollowsWhatBecomesOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := NewTrials()
		ts.Reject("t", 100)
		trial := ts.Topics["t"]
		require.Equal(t, 50, trial.size)
		trial.out = make([]*inflight.Entry, 50)
		ts.Reject("t", 50)
		ts.SessionEnded()
		require.Equal(t, 25, trial.size)
		trial.out = make([]*inflight.Entry, 25)
		trial.Settle()
		require.Equal(t, 50, trial.size)
		trial.out = make([]*inflight.Entry, 2) // fewer were waiting, so their delivery says less
		trial.Settle()
		require.Equal(t, 50, trial.size)
		require.False(t, trial.Over(false))
		require.False(t, trial.Over(true), "it rests first")
		time.Sleep(trialRest)
		require.False(t, trial.Over(false), "something of it waits")
		require.True(t, trial.Over(true))
		trial.good = trialGood
		require.True(t, trial.Over(false))
	})
}

// A record that was rejected in a batch may be rejected because of its neighbours (hazard rejected-batch).
// Only a record that was sent alone is parked.
func TestARecordIsAloneWhenTheSinkHasNothingElseOfItsTopic(t *testing.T) {
	set := newWindow()
	l := set.Find("t", 0)
	first, second := &inflight.Entry{ID: 1, Lane: &l.Load}, &inflight.Entry{ID: 2, Lane: &l.Load}
	ts := NewTrials()
	require.False(t, ts.Alone(first), "the topic is not on trial")
	ts.Reject("t", 2)
	require.False(t, ts.Alone(first), "the sink has nothing of the group")
	ts.Topics["t"].Sent(first)
	require.True(t, ts.Alone(first))
	require.False(t, ts.Alone(second))
	ts.Topics["t"].Sent(second)
	require.False(t, ts.Alone(first))
}

// Other topics wait for the sessions that rejections end: at most a third of the time.
func TestAfterARejectionTheNextGroupWaitsTwiceAsLongAsTheSessionTookToOpen(t *testing.T) {
	ts, now := NewTrials(), time.Now()
	require.Equal(t, now, ts.Rest(now), "nothing was rejected")
	ts.NoteRejection(now)
	now = now.Add(100 * time.Millisecond)
	require.Equal(t, now.Add(200*time.Millisecond), ts.Rest(now))
	require.Equal(t, now, ts.Rest(now), "the next session need not wait for it")
	ts.NoteRejection(now)
	now = now.Add(time.Minute)
	require.Equal(t, now.Add(restMost), ts.Rest(now))
}
