package inbox

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/db"
	store "github.com/postroom/postroom/internal/store/inbox"
)

// attemptStore records what is done to the count of attempts.
type attemptStore struct {
	database
	did []string
}

func (s *attemptStore) NoteAttempt(context.Context, db.Execer, store.Row, string) error {
	s.did = append(s.did, "note")
	return nil
}

func (s *attemptStore) ReturnAttempt(context.Context, db.Execer, store.Row) error {
	s.did = append(s.did, "return")
	return nil
}

func (s *attemptStore) DeleteAttempts(context.Context, db.Execer, store.Row) error {
	s.did = append(s.did, "forget")
	return nil
}

// The ways back from a step that failed, as the picture above delivery has them.
func TestAFailureChoosesTheWayOfAMessage(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		policy   Policy
		made     int // attempts, the failed one included where they are counted in the database
		parking  bool
		failed   failure
		again    bool // tried again
		counts   bool // and that is a new attempt
		toPark   bool
		gaveUp   bool // with an *AttemptsError
		attempts []string
	}{
		"a conflict is repeated without an attempt": {made: 5, failed: failure{kind: conflict}, again: true},
		"so is an outage":                {made: 5, failed: failure{kind: outage}, again: true},
		"and a COMMIT without an answer": {made: 5, failed: failure{kind: outage, inDoubt: true}, again: true},
		"a handler that fails is retried": {
			made: 1, failed: failure{kind: handlerFailed}, again: true, counts: true, attempts: []string{"note"},
		},
		"after the last attempt the message is to be parked": {
			made: 5, failed: failure{kind: handlerFailed}, again: true, counts: true, toPark: true,
		},
		"a park that fails is an error": {made: 5, parking: true, failed: failure{kind: handlerFailed}, toPark: true},
		"under Halt a handler is retried from memory": {
			policy: Halt, made: 3, failed: failure{kind: handlerFailed}, again: true, counts: true,
		},
		"and the last attempt is an error": {policy: Halt, made: 4, failed: failure{kind: handlerFailed}, gaveUp: true},
		"what no repetition mends gives the attempt back": {
			made: 1, failed: failure{kind: final}, attempts: []string{"return"},
		},
		"a handler that ended the transaction leaves no attempt": {
			made: 1, failed: failure{kind: final, err: ErrHandlerEndedTx}, attempts: []string{"forget"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := &attemptStore{}
			ib := &Inbox{
				store: s, attempts: 5, policy: c.policy, log: slog.New(slog.DiscardHandler),
				backoff: backoff{min: time.Second, max: time.Second},
			}
			d := newDelivery(unitOfWork{ib: ib, db: new(sql.DB)}, Message{ID: "m", Topic: "orders"})
			d.attempts.made, d.attempts.counted = c.made, d.parkable
			if c.parking {
				d.parkReason = "broken before"
			}
			if c.failed.err == nil {
				c.failed.err = broken
			}

			_, err := d.afterFailure(t.Context(), &c.failed)
			require.Equal(t, c.again, err == nil, "%v", err)
			if err == nil {
				require.Equal(t, c.counts, d.attempts.countNext)
			} else {
				require.ErrorIs(t, err, c.failed.err)
			}
			require.Equal(t, c.toPark, d.parkReason != "")
			var gaveUp *AttemptsError
			require.Equal(t, c.gaveUp, errors.As(err, &gaveUp))
			require.Equal(t, c.attempts, s.did)
		})
	}
}
