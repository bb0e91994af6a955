package page

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/postroom/postroom/examples/shop/trace"
)

// lanes is the picture of an order's way: a lane for each service, time from left to right. A full dot is an event that
// the service wrote, a ring is one that it applied, and a line joins the two.
type lanes struct {
	Names  []string
	Height int // in pixels
	Lines  []laneLine
	Marks  []laneMark
	Gaps   []laneGap
	Steps  []tracedStep
}

type laneLine struct {
	X1, X2 string // in percent of the width
	Y1, Y2 int
	Of     string // the service that wrote the event
}

type laneMark struct {
	X     string
	Y     int
	At    string // the service
	Of    string // the service that wrote the event
	Ring  bool   // applied, and not written
	Title string
}

// laneGap is a time in which nothing happened, long enough to be named.
type laneGap struct{ X, Long string }

// tracedStep is an event in words.
type tracedStep struct {
	trace.Event
	After   time.Duration // since the first event
	Because string        // the type of the event that led to it
	Details []string      // what happened to it, with the time since it was written
}

var laneNames = []string{"orders", "stock", "payments", "notifications", "gateway"}

const (
	laneHeight = 40                     // pixels
	longGap    = 400 * time.Millisecond // a longer one is named
)

func lanesOf(events []trace.Event) *lanes {
	if len(events) == 0 {
		return nil
	}
	l := &lanes{Names: laneNames, Height: len(laneNames) * laneHeight}
	x := l.scale(events)
	types := map[string]string{}
	for _, e := range events {
		types[e.ID] = e.Type
	}
	for _, e := range events {
		from := laneY(e.Service)
		for _, a := range e.Applied {
			to := laneY(a.Service)
			l.Lines = append(l.Lines, laneLine{X1: x(e.Written), X2: x(a.At), Y1: from, Y2: to, Of: e.Service})
			l.Marks = append(l.Marks, laneMark{X: x(a.At), Y: to, At: a.Service, Of: e.Service, Ring: true,
				Title: a.Service + " applied " + e.Type})
		}
		l.Marks = append(l.Marks, laneMark{X: x(e.Written), Y: from, At: e.Service, Of: e.Service,
			Title: e.Service + " wrote " + e.Type})
		l.Steps = append(l.Steps, tracedStep{
			Event: e, After: e.Written.Sub(events[0].Written), Because: types[e.Cause], Details: details(e),
		})
	}
	slices.SortStableFunc(l.Marks, func(a, b laneMark) int { // dots over rings
		return cmp.Compare(b2i(b.Ring), b2i(a.Ring))
	})
	return l
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func laneY(service string) int {
	return max(0, slices.Index(laneNames, service))*laneHeight + laneHeight/2
}

// scale returns where a time is. The distance between two moments grows with the logarithm of the time between them:
// milliseconds stay visible beside seconds.
func (l *lanes) scale(events []trace.Event) func(time.Time) string {
	var moments []time.Time
	for _, e := range events {
		moments = append(moments, e.Written)
		for _, a := range e.Applied {
			moments = append(moments, a.At)
		}
	}
	slices.SortFunc(moments, time.Time.Compare)
	moments = slices.CompactFunc(moments, time.Time.Equal)
	at, total := map[time.Time]float64{moments[0]: 0}, 0.0
	for i, m := range moments[1:] {
		total += 0.4 + math.Log1p(float64(m.Sub(moments[i]).Microseconds())/1000)
		at[m] = total
	}
	percent := func(position float64) string {
		return fmt.Sprintf("%.2f%%", 3+94*position/max(total, 1))
	}
	for i, m := range moments[1:] {
		if gap := m.Sub(moments[i]); gap >= longGap {
			l.Gaps = append(l.Gaps, laneGap{X: percent((at[m] + at[moments[i]]) / 2), Long: brief(gap)})
		}
	}
	return func(t time.Time) string { return percent(at[t]) }
}

func details(e trace.Event) (details []string) {
	if !e.Due.IsZero() {
		return []string{"is due " + brief(e.Due.Sub(e.Written)) + " after it was written"}
	}
	broker := "Kafka"
	if e.Topic == "mails" {
		broker = "RabbitMQ"
	}
	if e.Delivered.IsZero() {
		details = append(details, "waits in the outbox")
	} else {
		details = append(details, broker+" +"+brief(e.Delivered.Sub(e.Written)))
	}
	for _, a := range e.Applied {
		details = append(details, a.Service+" +"+brief(a.At.Sub(e.Written)))
	}
	return details
}

// brief is a time for people.
func brief(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", max(0, d.Milliseconds()))
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", d.Seconds()), ".0") + " s"
}
