package inbox_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/internal/faultdb"
)

// bothWays of a COMMIT that is lost.
var bothWays = map[string]faultdb.Fault{"it took effect": faultdb.LoseAnswer(), "it did not": faultdb.LoseRequest()}

// Hazard lost-inbox-answer.
// A message is parked, and the answer to that COMMIT is lost.
func TestALostCommitOfAParkIsAPark(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		for name, fault := range bothWays {
			var log bytes.Buffer
			ib := b.inbox(t, name, inbox.WithMaxAttempts(1), inbox.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
			for n, want := range []string{"failed", "blocked"} {
				m := order(name+want, "k")
				outcome, err := ib.Process(t.Context(), b.faulty(t, faultAt(faultdb.Commit, 1, fault)), m, poison)
				require.NoError(t, err)
				require.Equal(t, inbox.Parked, outcome, "%s %s", name, want)
				state, _ := b.state(t, m.ID)
				require.Equal(t, want, state)
				require.EqualValues(t, n+1, ib.Counts().Parked)
			}
			require.Equal(t, 1, strings.Count(log.String(), "parked a message that failed for good"),
				"a line for whoever reads the log")
		}
	})
}

// Hazard lost-inbox-answer.
// Taken for applied, the parked one would let the next one of its key overtake it.
func TestALostCommitOfAParkInABatchHoldsUpItsKey(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		for name, fault := range bothWays {
			b.exec(t, "DELETE FROM effects")
			ib, calls := b.inbox(t, name, inbox.WithMaxAttempts(1)), 0
			ms := []inbox.Message{order("1", "k"), order("2", "k")}
			// The first COMMIT is that of the park.
			outcomes, err := ib.ProcessBatch(t.Context(), b.faulty(t, faultAt(faultdb.Commit, 1, fault)), ms,
				b.applyAll(&calls, "1"))
			require.NoError(t, err)
			require.Equal(t, []inbox.Outcome{inbox.Parked, inbox.Parked}, outcomes, name)
			require.Zero(t, b.effects(t), name)

			// And of a batch of which one waits, and another runs.
			ms = []inbox.Message{order("4", "k"), order("5", "other")}
			outcomes, err = ib.ProcessBatch(t.Context(), b.faulty(t, faultAt(faultdb.Commit, 1, fault)), ms,
				b.applyAll(&calls))
			require.NoError(t, err)
			require.Equal(t, []inbox.Outcome{inbox.Parked, inbox.Applied}, outcomes, name)
			require.Equal(t, 1, b.effects(t), name)
		}
	})
}
