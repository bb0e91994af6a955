package demo

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// plotWidth is how many values a plot shows. It shows the last ones.
const plotWidth = 40

// plot is a row of bars, one for each value.
type plot struct{ values []float64 }

func (p *plot) add(v float64) {
	p.values = append(p.values, v)
	if len(p.values) > plotWidth {
		p.values = p.values[1:]
	}
}

func (p *plot) last() float64 {
	if len(p.values) == 0 {
		return 0
	}
	return p.values[len(p.values)-1]
}

// String returns the bars, scaled to the highest value and padded to plotWidth.
func (p *plot) String() string {
	bars := []rune("▁▂▃▄▅▆▇█")
	highest := 0.0
	for _, v := range p.values {
		highest = max(highest, v)
	}
	var b strings.Builder
	for _, v := range p.values {
		bar := 0
		if highest > 0 {
			bar = int(v / highest * float64(len(bars)-1))
		}
		b.WriteRune(bars[bar])
	}
	b.WriteString(strings.Repeat(" ", plotWidth-len(p.values)))
	return b.String()
}

// number writes n with a comma before every three digits.
func number(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// millis formats a latency in milliseconds.
func millis(d time.Duration) string {
	ms := d.Seconds() * 1000
	if ms < 10 {
		return fmt.Sprintf("%.1f ms", ms)
	}
	return number(int64(ms+0.5)) + " ms"
}
