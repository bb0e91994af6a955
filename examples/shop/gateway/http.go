package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/postroom/postroom/examples/shop/gateway/cache"
	"github.com/postroom/postroom/examples/shop/gateway/view"
	"github.com/postroom/postroom/examples/shop/kit"
)

// getOrder answers from the third level of the cache: the whole response.
func (g *Gateway) getOrder(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	if !ids.MatchString(id) {
		return kit.NotFound("there is no such order") // nothing but an id becomes part of a key in Redis
	}
	minimum, err := number(r, "min_version", 0, 1<<53)
	if err != nil {
		return err
	}
	value, err := g.cache.Get(r.Context(), "response:/orders/"+id, func(ctx context.Context) (cache.Value, error) {
		o, versions, err := g.view.Order(ctx, id)
		return asValue(Answer{Order: o}, versions, err)
	})
	var known *view.Order
	if err == nil {
		var a Answer
		if err := json.Unmarshal(value.Body, &a); err != nil {
			return err
		}
		if a.Version >= max(minimum, 1) {
			// The version is for If-Match, see forward.go. It is not enough: other services have said something, too.
			return writeFresh(w, r, fmt.Sprintf("%d.%s", a.Version, hash(value.Body)), value.Body)
		}
		known = &a.Order
	} else if !errors.Is(err, view.ErrNone) {
		// The services may know what the gateway's own database does not tell.
		g.cfg.Logger.WarnContext(r.Context(), "cannot read the read model", "error", err)
	}
	a, err := g.composer.order(r.Context(), id, known)
	if err != nil {
		return err
	}
	w.Header().Set("X-Answer-From", "services")
	w.Header().Set("Cache-Control", "no-store") // it has no version that the next answer could be compared with
	return kit.WriteJSON(w, http.StatusOK, a)
}

// The limits of a page.
const (
	defaultPage = 20
	maxPage     = 100
)

// errEmpty keeps the cache from storing a page.
var errEmpty = errors.New("there are no orders")

// getPage answers from the second level of the cache: the result of a query. Only the first page is stored, and only if
// there is something on it. A client could otherwise fill Redis with the pages after all ids that it can think of, or
// with those of customers that do not exist.
func (g *Gateway) getPage(w http.ResponseWriter, r *http.Request) error {
	customer, after := r.PathValue("id"), r.FormValue("after")
	if !ids.MatchString(customer) || after != "" && !ids.MatchString(after) {
		return kit.BadRequest("a customer, and after, must be an id")
	}
	limit, err := number(r, "limit", defaultPage, maxPage)
	if err != nil {
		return err
	}
	load := func(ctx context.Context) (cache.Value, error) {
		p, versions, err := g.view.Page(ctx, customer, after, int(limit))
		if err == nil && len(p.Orders) == 0 {
			err = errEmpty
		}
		return asValue(p, versions, err)
	}
	var value cache.Value
	if after == "" {
		value, err = g.cache.Get(r.Context(), fmt.Sprintf("page:%s:%d", customer, limit), load)
	} else {
		value, err = load(r.Context())
	}
	if err != nil && !errors.Is(err, errEmpty) {
		return err
	}
	return writeFresh(w, r, hash(value.Body), value.Body)
}

// getCustomer answers from the first level of the cache: an entity of the application. A customer that the model does
// not have yet is asked for at the service.
func (g *Gateway) getCustomer(service kit.HandlerFunc) kit.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		id := r.PathValue("id")
		if !ids.MatchString(id) {
			return kit.NotFound("there is no such customer")
		}
		value, err := g.cache.Get(r.Context(), "customer:"+id, func(ctx context.Context) (cache.Value, error) {
			c, versions, err := g.view.Customer(ctx, id)
			return asValue(c, versions, err)
		})
		if errors.Is(err, view.ErrNone) {
			return service(w, r)
		}
		if err != nil {
			return err
		}
		var c view.KnownCustomer
		if err := json.Unmarshal(value.Body, &c); err != nil {
			return err
		}
		if c.Erased {
			return kit.Gone("customer " + id + " was erased")
		}
		// The service's ETag: its answer and this one are the same.
		return writeFresh(w, r, fmt.Sprint(c.Version), value.Body)
	}
}

func asValue(body any, versions cache.Versions, err error) (cache.Value, error) {
	text, failed := json.Marshal(body)
	return cache.Value{Body: text, Versions: versions}, errors.Join(err, failed)
}

// hash makes an ETag of a body. A count of changes is not enough: after a rebuild of the read model the same count may
// stand for something else.
func hash(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:8])
}

// getView tells which generations of the read model there are.
func (g *Gateway) getView(w http.ResponseWriter, r *http.Request) error {
	all, err := g.view.Generations(r.Context())
	if err != nil {
		return err
	}
	return kit.WriteJSON(w, http.StatusOK, all)
}

// rebuildView begins a new generation of the read model. Run builds it, switches to it, and deletes the one before it.
func (g *Gateway) rebuildView(w http.ResponseWriter, r *http.Request) error {
	generation, err := g.view.Rebuild(r.Context())
	if errors.Is(err, view.ErrBuilding) {
		return &kit.Problem{
			Status: http.StatusConflict, Type: "/problems/already-building", Title: "Already building",
			Detail: "A new generation of the read model is being built already: see GET /view.",
		}
	}
	if err != nil {
		return err
	}
	return kit.WriteJSON(w, http.StatusAccepted, map[string]int64{"generation": generation})
}

// writeFresh answers with a body and its version in ETag, or with 304 if the client has that version. Clients may keep
// the answer, and must ask each time whether it is still the last one.
func writeFresh(w http.ResponseWriter, r *http.Request, tag string, body []byte) error {
	tag = `"` + tag + `"`
	w.Header().Set("ETag", tag)
	w.Header().Set("Cache-Control", "private, no-cache")
	for candidate := range strings.SplitSeq(r.Header.Get("If-None-Match"), ",") {
		if candidate = strings.TrimPrefix(strings.TrimSpace(candidate), "W/"); candidate == tag || candidate == "*" {
			w.WriteHeader(http.StatusNotModified)
			return nil
		}
	}
	return kit.WriteJSON(w, http.StatusOK, json.RawMessage(body))
}

func number(r *http.Request, name string, standard, limit int64) (int64, error) {
	text := r.FormValue(name)
	if text == "" {
		return standard, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 || n > limit {
		return 0, kit.BadRequest(fmt.Sprintf("%s must be a number from 1 to %d", name, limit))
	}
	return n, nil
}
