package config_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/config"
)

func TestAnAgeMayBeGivenInDays(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"7d": 168 * time.Hour, "0.5d": 12 * time.Hour, "36h": 36 * time.Hour, "1h30m": 90 * time.Minute, "0": 0,
		"-1d": -24 * time.Hour,
	} {
		d, err := config.Age(text)
		require.NoError(t, err, text)
		require.Equal(t, want, d, text)
	}
	for _, text := range []string{"", "d", "7", "1y", "1d2h", "NaNd", "1e9d", "Infd", "yesterday"} {
		_, err := config.Age(text)
		require.ErrorContains(t, err, "7d", text)
	}
}
