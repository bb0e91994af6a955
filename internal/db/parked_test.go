package db_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/db"
)

func TestAParkedRowKeepsWhatItsColumnTakesOfAnError(t *testing.T) {
	long := strings.Repeat("x", db.MaxParkedError-1)
	for text, kept := range map[string]string{
		"no":             "no",
		"a\x00b":         "a\uFFFDb",
		"a\xffb":         "a\uFFFDb",
		long + "y" + "z": long + "y",
		long + "ü":       long,
		long[1:] + "ü":   long[1:] + "ü",
		long[1:] + "€":   long[1:],
	} {
		require.Equal(t, kept, db.KeepError(text))
	}
}
