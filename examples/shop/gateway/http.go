package gateway

import (
	"context"
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
			tag := fmt.Sprintf("%d.%d.%d", a.Version,
				value.Versions["order:"+id], value.Versions["customer:"+a.Of.Customer])
			return writeFresh(w, r, tag, value.Body)
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

// getPage answers from the second level of the cache: the result of a query.
func (g *Gateway) getPage(w http.ResponseWriter, r *http.Request) error {
	customer, after := r.PathValue("id"), r.FormValue("after")
	limit, err := number(r, "limit", defaultPage, maxPage)
	if err != nil {
		return err
	}
	key := fmt.Sprintf("page:%q:%q:%d", customer, after, limit)
	value, err := g.cache.Get(r.Context(), key, func(ctx context.Context) (cache.Value, error) {
		p, versions, err := g.view.Page(ctx, customer, after, int(max(limit, 1)))
		return asValue(p, versions, err)
	})
	if err != nil {
		return err
	}
	return writeFresh(w, r, fmt.Sprint(value.Versions["orders-of:"+customer]), value.Body)
}

// getCustomer answers from the first level of the cache: an entity of the application. A customer that the model does
// not have yet is asked for at the service.
func (g *Gateway) getCustomer(service kit.HandlerFunc) kit.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		id := r.PathValue("id")
		value, err := g.cache.Get(r.Context(), "customer:"+id, func(ctx context.Context) (cache.Value, error) {
			c, err := g.view.Customer(ctx, id)
			return asValue(c, cache.Versions{"customer:" + id: c.Version}, err)
		})
		if errors.Is(err, view.ErrNone) {
			return service(w, r)
		}
		if err != nil {
			return err
		}
		var c view.Customer
		if err := json.Unmarshal(value.Body, &c); err != nil {
			return err
		}
		if c.Erased {
			return kit.Gone("customer " + id + " was erased")
		}
		return writeFresh(w, r, fmt.Sprint(c.Version), value.Body)
	}
}

func asValue(body any, versions cache.Versions, err error) (cache.Value, error) {
	if err != nil {
		return cache.Value{}, err
	}
	text, err := json.Marshal(body)
	return cache.Value{Body: text, Versions: versions}, err
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
