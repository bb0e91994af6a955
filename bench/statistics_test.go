package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMedian(t *testing.T) {
	for name, c := range map[string]struct {
		values []float64
		want   float64
	}{
		"of nothing is 0":                {nil, 0},
		"of one is itself":               {[]float64{7}, 7},
		"of an odd number is the middle": {[]float64{9, 1, 5}, 5},
		"of an even number is between":   {[]float64{4, 1, 9, 2}, 3},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, median(c.values)) })
	}
}

func TestPercentile(t *testing.T) {
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(i + 1)
	}
	for name, c := range map[string]struct {
		values []float64
		p      float64
		want   float64
	}{
		"of nothing is 0":         {nil, 50, 0},
		"of one is itself":        {[]float64{7}, 99, 7},
		"99 of 1 to 100 is 99":    {hundred, 99, 99},
		"50 of 1 to 100 is 50":    {hundred, 50, 50},
		"100 is the largest":      {hundred, 100, 100},
		"0 is the smallest":       {hundred, 0, 1},
		"99.9 of 1 to 100 is 100": {hundred, 99.9, 100},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, percentile(c.values, c.p)) })
	}
}
