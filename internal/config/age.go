package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Age reads a length of time that may be long: a duration as Go writes it, or a number
// of days, as in 30d.
func Age(text string) (time.Duration, error) {
	const day = 24 * time.Hour
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseFloat(days, 64)
		if err == nil && math.Abs(n) < float64(math.MaxInt64/day) {
			return time.Duration(n * float64(day)), nil
		}
	} else if d, err := time.ParseDuration(text); err == nil {
		return d, nil
	}
	return 0, fmt.Errorf("%q is no length of time: write a number with its unit, for example 36h or 7d", text)
}
