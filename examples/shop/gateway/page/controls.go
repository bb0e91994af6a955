package page

import (
	"context"
	"net/http"
	"strconv"

	"github.com/postroom/postroom/examples/shop/kit"
)

// Groups of switches.
const (
	Flow     = "flow"     // whether orders flow by themselves
	Services = "services" // off: the service is killed
	Brokers  = "brokers"
	Faults   = "faults" // on: something goes wrong all the time
	Rules    = "rules"  // off: the naive way
)

// Switch is something that a visitor of the page can switch on and off.
type Switch struct {
	Name     string // unique
	Group    string
	Title    string
	Sentence string // what it is, or what it does
	On       bool
	Missing  string // why there is no switch here; empty: there is one

	// Of rules.
	Protects []string // the names of invariants
	Without  string   // what happens while it is off
	Docs     string   // where the pattern is explained: a URL
}

// Controls changes the running shop. What runs the shop in one process implements it.
type Controls interface {
	Switches() []Switch
	// Set switches on or off. It does not wait until everybody has noticed.
	Set(ctx context.Context, name string, on bool) error
	// PlaceOrder places one order and returns its id.
	PlaceOrder(ctx context.Context) (id string, err error)
}

// control does what a form asks for. The forms work without the script too: the answer leads back to the page.
func (p *Page) control(w http.ResponseWriter, r *http.Request) error {
	name := r.PostFormValue("name")
	on, err := strconv.ParseBool(r.PostFormValue("on"))
	if err != nil {
		return kit.BadRequest("on must be true or false")
	}
	if err := p.cfg.Controls.Set(r.Context(), name, on); err != nil {
		return kit.BadRequest(err.Error())
	}
	p.lookSoon()
	if name == "gateway" && !on { // nobody will answer at the page for a moment
		return p.write(w, http.StatusOK, "killed", nil)
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}

func (p *Page) placeOrder(w http.ResponseWriter, r *http.Request) error {
	id, err := p.cfg.Controls.PlaceOrder(r.Context())
	if err != nil {
		return p.write(w, http.StatusServiceUnavailable, "rejected", err.Error())
	}
	http.Redirect(w, r, "/watch/orders/"+id+"?wait=1", http.StatusSeeOther)
	return nil
}
