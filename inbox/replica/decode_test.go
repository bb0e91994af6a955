package replica_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox/replica"
)

// MariaDB's JSON_OBJECT writes a tinyint as 1: taken for "not deleted" it would bring the row back.
func TestDeletedIsTrueOrFalseOrRefused(t *testing.T) {
	for payload, want := range map[string]bool{
		`{"version":1,"id":1}`: false, `{"version":1,"id":1,"deleted":null}`: false,
		`{"version":1,"id":1,"deleted":false}`: false, `{"version":1,"id":1,"deleted":true}`: true,
	} {
		c, err := replica.Decode(nil, []byte(payload))
		require.NoError(t, err, payload)
		require.Equal(t, want, c.Deleted, payload)
	}
	for _, payload := range []string{`{"version":1,"id":1,"deleted":1}`, `{"version":1,"id":1,"deleted":"true"}`} {
		_, err := replica.Decode(nil, []byte(payload))
		require.ErrorIs(t, err, replica.ErrValues, payload)
	}
}
