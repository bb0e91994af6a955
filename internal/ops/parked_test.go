package ops_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/ops"
	"github.com/postroom/postroom/internal/store/parked"
)

func TestRefusalsOfRequestsSayWhatToType(t *testing.T) {
	for name, c := range map[string]struct {
		of   ops.Parked
		err  error
		want string
	}{
		"events that are not there": {
			ops.ParkedEvents, &parked.MissingError{IDs: []parked.ID{{Seq: 999}, {Name: "a-b"}}},
			"no event is parked as 999, a-b (delivered, or dropped?): see `relay parked list`",
		},
		"messages that are not there": {
			ops.ParkedMessages, &parked.MissingError{IDs: []parked.ID{{Seq: 999}, {Name: "m 1"}}},
			"no message is parked as 999, \"m 1\" (handled, or dropped?): see `relay inbox parked list`",
		},
		"an event that is parked twice": {
			ops.ParkedEvents, &parked.AmbiguousError{ID: parked.ID{Name: "e"}, Seqs: []int64{1, 5}},
			"event e is parked 2 times: name one of the rows 1, 5",
		},
		"a message that is parked twice": {
			ops.ParkedMessages, &parked.AmbiguousError{ID: parked.ID{Name: "m"}, Seqs: []int64{1, 5}},
			`message "m" is parked 2 times: name one of the rows 1, 5, or --consumer`,
		},
		"a retry behind a failed row": {
			ops.ParkedEvents, &parked.BehindError{Seq: 2, First: 1, FirstState: "failed", Request: "retry"},
			"row 2 waits behind row 1 of its key, which is failed: start with that one, relay parked retry 1, " +
				"or take all of the key with --topic and --key",
		},
		"a drop behind a failed row": {
			ops.ParkedMessages, &parked.BehindError{Seq: 2, First: 1, FirstState: "failed", Request: "drop"},
			"row 2 waits behind row 1 of its key, which is failed: start with that one, " +
				"relay inbox parked drop 1 --reason …, or take all of the key with --topic and --key",
		},
		"behind an event that is requested": {
			ops.ParkedEvents, &parked.BehindError{Seq: 2, First: 1, FirstState: "retry", Request: "drop"},
			"row 2 waits behind row 1 of its key, which is about to be sent again: ask once it is gone, " +
				"see `relay parked show 1`",
		},
		"behind a message that is requested": {
			ops.ParkedMessages, &parked.BehindError{Seq: 2, First: 1, FirstState: "drop", Request: "retry"},
			"row 2 waits behind row 1 of its key, which the consumer is about to drop: ask once it is gone, " +
				"see `relay inbox parked show 1`",
		},
		"an event that was overtaken": {
			ops.ParkedEvents, &parked.OvertakenError{Seq: 4, Rows: 1},
			"row 4 was overtaken: later events of this key were delivered before it; consumers may see an old value " +
				"last; " +
				"add --force to send it all the same, or give it up: relay parked drop 4 --reason …",
		},
		"overtaken events among others": {
			ops.ParkedEvents, &parked.OvertakenError{Seq: 4, Rows: db.CountLimit, ByFilter: true},
			"200000 or more of these rows were overtaken, the first is row 4: later events of this key were " +
				"delivered before it; consumers may see an old value last; " +
				"add --force to send them all the same, or name the others by their ids",
		},
	} {
		require.EqualError(t, c.of.Explain(c.err), c.want, name)
	}
}

func TestEachOfSeveralRefusalsIsWorded(t *testing.T) {
	other := errors.New("the disk is full")
	refused := errors.Join(&parked.MissingError{IDs: []parked.ID{{Seq: 9}}}, other)
	require.EqualError(t, ops.ParkedEvents.Explain(refused),
		"no event is parked as 9 (delivered, or dropped?): see `relay parked list`\nthe disk is full")
	require.Equal(t, other, ops.ParkedEvents.Explain(other))
	require.NoError(t, ops.ParkedEvents.Explain(nil))
}
