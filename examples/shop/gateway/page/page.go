// Package page shows what happens in the shop, in a browser: the services and the events between them, the orders by
// state, the timeline of one order, and what must hold.
//
// The server renders all of it. A script of a few lines replaces the parts that changed, which come as server-sent
// events. There is no build step, and nothing comes from other servers.
package page

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/postroom/postroom/examples/shop/gateway/view"
	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/examples/shop/trace"
)

//go:embed templates static
var files embed.FS

// Invariant is something that must hold, with the figures that show it.
type Invariant struct {
	Name    string
	Holds   bool
	Waits   bool // it does not hold yet, because orders are on their way
	Figures string
	Reason  string // in one sentence
}

// State is holds, waits or broken.
func (i Invariant) State() string {
	switch {
	case i.Holds:
		return "holds"
	case i.Waits:
		return "waits"
	}
	return "broken"
}

// Config configures the page.
type Config struct {
	View *view.Model
	// Invariants looks at all services. Nil: the page says that nobody looks.
	Invariants func(context.Context) ([]Invariant, error)
	// Trace follows an order through all services. Nil: the page shows what the read model knows of its way.
	Trace func(ctx context.Context, order string) ([]trace.Event, error)
	// Controls changes the shop. Nil: the page has no buttons.
	Controls   Controls
	Every      time.Duration // between two looks at the read model; default: 1 s
	AuditEvery time.Duration // between two looks at the invariants; default: 4 s
}

// Page is an HTTP handler for /, /watch/…, /control/… and /static/…. It is live while Run runs.
type Page struct {
	audience *audience

	cfg       Config
	templates *template.Template
	mux       *kit.Mux
}

// New parses the templates.
func New(cfg Config) (*Page, error) {
	if cfg.Every == 0 {
		cfg.Every = time.Second
	}
	if cfg.AuditEvery == 0 {
		cfg.AuditEvery = 4 * time.Second
	}
	p := &Page{cfg: cfg, mux: &kit.Mux{}, audience: newAudience()}
	var err error
	p.templates, err = template.New("").Funcs(template.FuncMap{
		"short": func(id string) string { return id[:min(8, len(id))] },
		"euro":  func(cents int64) string { return fmt.Sprintf("%d.%02d", cents/100, cents%100) },
		"dash":  func(s string) string { return strings.NewReplacer(".", "-", "_", "-", " ", "-").Replace(s) },
		"words": func(s string) string { return strings.ReplaceAll(s, "_", " ") },
		"clock": func(t time.Time) string { return t.UTC().Format("15:04:05 UTC") },
	}).ParseFS(files, "templates/*.html")
	if err != nil {
		return nil, err
	}
	static, err := fs.Sub(files, "static")
	if err != nil {
		return nil, err
	}
	p.mux.Handle("GET /static/", http.StripPrefix("/static/", http.FileServerFS(static)))
	p.mux.HandleFunc("GET /{$}", p.overview)
	p.mux.HandleFunc("GET /watch/events", p.live)
	p.mux.HandleFunc("GET /watch/orders/{id}", p.order)
	if cfg.Controls != nil {
		p.mux.HandleFunc("POST /control/switch", p.control)
		p.mux.HandleFunc("POST /control/order", p.placeOrder)
	}
	return p, nil
}

// ServeHTTP allows the browser nothing but what comes from here.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; "+
		"connect-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Referrer-Policy", "no-referrer")
	p.mux.ServeHTTP(w, r)
}

func (p *Page) overview(w http.ResponseWriter, r *http.Request) error {
	if !p.audience.watched() {
		p.lookSoon()
	}
	p.audience.add(0)
	f, err := p.look(r.Context(), nil)
	if err != nil {
		return err
	}
	return p.write(w, http.StatusOK, "overview.html", f)
}

func (p *Page) order(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	steps, err := p.cfg.View.Timeline(r.Context(), id)
	if err != nil {
		return err
	}
	o, _, err := p.cfg.View.Order(r.Context(), id)
	if errors.Is(err, view.ErrNone) {
		// An order that was placed just now is on its way: that is no error.
		status, wait := http.StatusNotFound, r.FormValue("wait") != ""
		if wait {
			status = http.StatusOK
		}
		return p.write(w, status, "none.html", struct {
			ID   string
			Wait bool
		}{id, wait})
	}
	if err != nil {
		return err
	}
	var traced []trace.Event
	if p.cfg.Trace != nil {
		if traced, err = p.cfg.Trace(r.Context(), id); err != nil {
			return err
		}
	}
	return p.write(w, http.StatusOK, "order.html", struct {
		Order view.Order
		Steps []step
		Lanes *lanes
		Ended bool
	}{o, stepsOf(steps), lanesOf(traced), o.Status == "confirmed" || o.Status == "cancelled"})
}

func (p *Page) write(w http.ResponseWriter, status int, name string, data any) error {
	var body bytes.Buffer // an error in the middle must not leave half a page
	if err := p.templates.ExecuteTemplate(&body, name, data); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = body.WriteTo(w) // the browser is gone if this fails
	return nil
}
