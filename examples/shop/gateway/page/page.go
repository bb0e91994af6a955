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
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/postroom/postroom/examples/shop/gateway/view"
	"github.com/postroom/postroom/examples/shop/kit"
)

//go:embed templates static
var files embed.FS

// Invariant is something that must hold, with the figures that show it.
type Invariant struct {
	Name    string
	Holds   bool
	Figures string
	Reason  string // in one sentence
}

// Config configures the page.
type Config struct {
	View *view.Model
	// Invariants looks at all services. Nil: the page says that nobody looks.
	Invariants func(context.Context) ([]Invariant, error)
	Every      time.Duration // between two looks; default: 1 s
}

// Page is an HTTP handler for /, /watch/… and /static/….
type Page struct {
	cfg       Config
	templates *template.Template
	mux       *kit.Mux
}

// New parses the templates.
func New(cfg Config) (*Page, error) {
	if cfg.Every == 0 {
		cfg.Every = time.Second
	}
	p := &Page{cfg: cfg, mux: &kit.Mux{}}
	var err error
	p.templates, err = template.New("").Funcs(template.FuncMap{
		"short": func(id string) string { return id[:min(8, len(id))] },
		"euro":  func(cents int64) string { return fmt.Sprintf("%d.%02d", cents/100, cents%100) },
		"dash":  func(s string) string { return strings.NewReplacer(".", "-", "_", "-").Replace(s) },
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
	if err != nil {
		return p.write(w, http.StatusNotFound, "none.html", id)
	}
	return p.write(w, http.StatusOK, "order.html", struct {
		Order view.Order
		Steps []step
	}{o, stepsOf(steps)})
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

// parts are the templates that are sent again when they change. Each is the content of the element of its name.
var parts = []string{"map", "states", "recent", "invariants"}

// live sends the parts that changed, until the browser goes away.
func (p *Page) live(w http.ResponseWriter, r *http.Request) error {
	control := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	sent := map[string]string{}
	var before *figures
	for {
		f, err := p.look(r.Context(), before)
		if err == nil { // a database that is away for a moment: the next look may succeed
			before = f
			for _, part := range parts {
				var body bytes.Buffer
				if err := p.templates.ExecuteTemplate(&body, part, f); err != nil {
					return err
				}
				text := strings.Join(strings.Fields(body.String()), " ")
				if sent[part] == text {
					continue
				}
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
		case <-time.After(p.cfg.Every):
		}
	}
}
