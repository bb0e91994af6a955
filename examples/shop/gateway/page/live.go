package page

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/postroom/postroom/examples/shop/kit"
)

// audience is who looks at the page, and what they see. One look at the shop serves all browsers.
type audience struct {
	mu      sync.Mutex
	parts   map[string]string // the HTML of each part
	changed chan struct{}     // closed when parts change
	ended   chan struct{}     // closed when the page ends
	seen    time.Time         // when somebody looked last
	here    int               // browsers that watch now

	rows []Invariant
	at   time.Time // of the last look at the invariants; zero: there was none
	err  error
	soon chan struct{} // asks for the next look
}

func newAudience() *audience {
	return &audience{
		parts: map[string]string{}, changed: make(chan struct{}), ended: make(chan struct{}),
		soon: make(chan struct{}, 1),
	}
}

// watched tells whether somebody looks at the page.
func (a *audience) watched() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.here > 0 || time.Since(a.seen) < 10*time.Second
}

func (a *audience) add(browsers int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.here, a.seen = a.here+browsers, time.Now()
}

func (a *audience) show(parts map[string]string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !maps.Equal(a.parts, parts) {
		a.parts = parts
		close(a.changed)
		a.changed = make(chan struct{})
	}
}

func (a *audience) latest() (map[string]string, <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.parts, a.changed
}

// Run looks at the shop, as long as somebody looks at the page, until ctx ends. Then it sends the browsers away.
func (p *Page) Run(ctx context.Context) error {
	defer close(p.audience.ended)
	return kit.Run(ctx, p.watch, p.audit)
}

func (p *Page) watch(ctx context.Context) error {
	tick := time.NewTicker(p.cfg.Every)
	defer tick.Stop()
	var before *figures
	for {
		if p.audience.watched() {
			// While a database is away for a moment the page stays as it is: the next look may succeed.
			if f, err := p.look(ctx, before); err == nil {
				parts, err := p.render(f)
				if err != nil {
					return err
				}
				p.audience.show(parts)
				before = f
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// audit looks at the invariants. That reads all databases, and so it is done less often.
func (p *Page) audit(ctx context.Context) error {
	if p.cfg.Invariants == nil {
		return nil
	}
	for {
		if p.audience.watched() {
			rows, err := p.cfg.Invariants(ctx)
			p.audience.mu.Lock()
			if p.audience.err = err; err == nil {
				p.audience.rows, p.audience.at = rows, time.Now()
			}
			p.audience.mu.Unlock()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-p.audience.soon:
		case <-time.After(p.cfg.AuditEvery):
		}
	}
}

// lookSoon makes the next look at the invariants come now.
func (p *Page) lookSoon() {
	select {
	case p.audience.soon <- struct{}{}:
	default:
	}
}

// parts are the templates that are sent again when they change. Each is the content of the element of its name.
var parts = []string{"map", "states", "flow", "services", "faults", "invariants", "rules", "recent"}

func (p *Page) render(f *figures) (map[string]string, error) {
	rendered := map[string]string{}
	for _, part := range parts {
		var body bytes.Buffer
		if err := p.templates.ExecuteTemplate(&body, part, f); err != nil {
			return nil, err
		}
		rendered[part] = strings.Join(strings.Fields(body.String()), " ")
	}
	return rendered, nil
}

// live sends the parts that changed, until the browser goes away.
func (p *Page) live(w http.ResponseWriter, r *http.Request) error {
	control := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	p.audience.add(1)
	defer p.audience.add(-1)
	// After a break the browser comes back after a second.
	_, _ = fmt.Fprint(w, "retry: 1000\n\n")
	sent := map[string]string{}
	for {
		latest, changed := p.audience.latest()
		for _, part := range parts {
			if text := latest[part]; text != sent[part] {
				sent[part] = text
				_, _ = fmt.Fprintf(w, "event: part\ndata: %s %s\n\n", part, text)
			}
		}
		_, _ = fmt.Fprint(w, ": alive\n\n")
		if control.Flush() != nil {
			return nil
		}
		select {
		case <-r.Context().Done():
			return nil
		case <-p.audience.ended:
			return nil
		case <-changed:
		case <-time.After(10 * time.Second):
		}
	}
}
