package main

import (
	"math"
	"slices"
)

// median returns the middle value, or the mean of the two in the middle; 0 without any.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(values))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// percentile returns the smallest value that p percent of values do not exceed; 0
// without any. values must be sorted.
func percentile(values []float64, p float64) float64 {
	if len(values) == 0 {
		return 0
	}
	rank := int(math.Ceil(p / 100 * float64(len(values))))
	return values[min(max(rank, 1), len(values))-1]
}
