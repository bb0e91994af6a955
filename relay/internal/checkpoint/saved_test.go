package checkpoint

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

// row is the lease row.
type row struct {
	text   string
	writes int
	fail   error
}

func (r *row) write(text []byte) error {
	r.writes++
	if r.fail == nil {
		r.text = string(text)
	}
	return r.fail
}

func TestACheckpointIsSavedOnceAndAgainAfterAnError(t *testing.T) {
	r := &row{text: `{"server":"a","up_to":9}`}
	s := NewSaved([]byte(r.text), "a")
	require.EqualValues(t, 9, s.Load().UpTo)
	require.False(t, s.RowIsWrong())
	s.Save(r.write)
	require.Zero(t, r.writes, "the row has it")

	s.Store(New("a", 20, nil, nil))
	r.fail = errors.New("down")
	s.Save(r.write)
	r.fail = nil
	s.Save(r.write)
	s.Save(r.write)
	require.Equal(t, 2, r.writes)
	require.JSONEq(t, `{"server":"a","up_to":20}`, r.text)
}

// Hazard proved-ids-come-back.
func TestACheckpointOfAnotherServerIsOverwritten(t *testing.T) {
	for _, text := range []string{`{"server":"b","up_to":9}`, `{}`} {
		r := &row{text: text}
		s := NewSaved([]byte(text), "a")
		require.Nil(t, s.Load(), text)
		require.True(t, s.RowIsWrong(), text)
		s.Save(r.write)
		require.Equal(t, "null", r.text)
		require.False(t, s.RowIsWrong(), text)
	}
	require.False(t, NewSaved(nil, "a").RowIsWrong(), "a row without a checkpoint is not wrong")
}
