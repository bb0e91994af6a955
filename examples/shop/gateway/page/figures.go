package page

import (
	"context"
	"slices"
	"time"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/gateway/view"
)

// figures are what the overview shows.
type figures struct {
	States     []state
	Orders     int64
	Recent     []view.Order
	Edges      []edge
	Topics     []topic
	Invariants []Invariant
	Looked     time.Time // at the invariants; zero: not yet
	Problem    string    // why nobody could look at them
	Watched    bool      // whether somebody looks at the invariants
	Controlled bool      // whether there are buttons
	switches   []Switch
	delivered  map[string]int64
}

type state struct {
	Name       string
	Orders     int64
	From, Wide int64 // of the bar, in thousandths
}

type topic struct {
	Name      string
	Delivered int64
}

// edge is a line of the map. It moves while events are on it.
type edge struct {
	Path  string
	Moves bool
}

// lines are those of the map, with the topics whose events are on them.
var lines = []struct {
	path   string
	topics []string
}{
	{"M 215 66 V 146", []string{events.Customers}},
	{"M 320 66 V 146", []string{events.Orders}},
	{"M 345 146 V 66", []string{events.Customers, events.Stock, events.Payments}},
	{"M 75 146 V 66", view.Topics()},
	{"M 60 190 V 270", []string{events.Orders, events.Payments}},
	{"M 90 270 V 190", []string{events.Stock}},
	{"M 200 190 V 270", []string{events.Stock}},
	{"M 230 270 V 190", []string{events.Payments}},
	{"M 400 66 V 146", []string{events.Orders}},
	{"M 400 190 V 270", []string{events.Orders}},
}

// order is that of the states on the page: from good to bad.
var order = []string{"confirmed", "placed", "cancelling", "cancelled", "stuck"}

func (p *Page) look(ctx context.Context, before *figures) (*figures, error) {
	states, err := p.cfg.View.States(ctx)
	if err != nil {
		return nil, err
	}
	f := &figures{Watched: p.cfg.Invariants != nil, Controlled: p.cfg.Controls != nil}
	if f.Controlled {
		f.switches = p.cfg.Controls.Switches()
	}
	for _, n := range states {
		f.Orders += n
	}
	var from int64
	for _, name := range order {
		s := state{Name: name, Orders: states[name], From: from}
		if f.Orders > 0 {
			s.Wide = s.Orders * 1000 / f.Orders
		}
		from += s.Wide
		f.States = append(f.States, s)
	}
	if f.Recent, err = p.cfg.View.Recent(ctx, 8); err != nil {
		return nil, err
	}
	if f.delivered, err = p.cfg.View.Delivered(ctx); err != nil {
		return nil, err
	}
	for _, name := range view.Topics() {
		f.Topics = append(f.Topics, topic{name, f.delivered[name]})
	}
	for _, l := range lines {
		e := edge{Path: l.path}
		for _, t := range l.topics {
			e.Moves = e.Moves || before != nil && before.delivered[t] < f.delivered[t]
		}
		f.Edges = append(f.Edges, e)
	}
	p.audience.mu.Lock()
	defer p.audience.mu.Unlock()
	f.Invariants, f.Looked = p.audience.rows, p.audience.at
	if p.audience.err != nil {
		f.Problem = p.audience.err.Error()
	}
	return f, nil
}

// Group returns the switches of a group.
func (f *figures) Group(name string) (switches []Switch) {
	for _, s := range f.switches {
		if s.Group == name {
			switches = append(switches, s)
		}
	}
	return switches
}

// Holding is how many invariants hold.
func (f *figures) Holding() (n int) {
	for _, i := range f.Invariants {
		if i.Holds {
			n++
		}
	}
	return n
}

// Because returns the rules that are off and protect an invariant.
func (f *figures) Because(invariant string) (because []Switch) {
	for _, s := range f.Group(Rules) {
		if !s.On && slices.Contains(s.Protects, invariant) {
			because = append(because, s)
		}
	}
	return because
}

// Down tells whether a service or broker is stopped.
func (f *figures) Down(name string) bool {
	return slices.ContainsFunc(f.switches, func(s Switch) bool {
		return s.Name == name && !s.On && s.Missing == "" && s.Group != Rules
	})
}

// step is an event of a timeline, with the time since the first one.
type step struct {
	view.Step
	After   time.Duration
	Because string // the type of the event that led to it
}

func stepsOf(of []view.Step) []step {
	types := map[string]string{}
	for _, s := range of {
		types[s.ID] = s.Type
	}
	steps := make([]step, len(of))
	for i, s := range of {
		steps[i] = step{Step: s, After: s.Applied.Sub(of[0].Applied), Because: types[s.Cause]}
	}
	return steps
}
