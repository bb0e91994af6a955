package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"

	"github.com/google/uuid"

	"github.com/postroom/postroom/examples/shop/kit"
)

// forward passes a request on to the service that owns the data, and its answer back.
func (g *Gateway) forward(address string) kit.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		target, err := url.Parse(address)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(r.Context(), g.cfg.CommandDeadline)
		defer cancel()
		var failed error
		proxy := &httputil.ReverseProxy{
			Transport: g.cfg.Transport,
			Rewrite: func(p *httputil.ProxyRequest) {
				p.SetURL(target)
				p.Out.Header.Set(requestIDHeader, w.Header().Get(requestIDHeader))
				p.Out.Header.Del("Origin") // the gateway has compared it with its own address
				// The gateway's ETag of an order is "3.1f0a…": the version of the order, and a hash of all that is in
				// the answer. Orders knows the version.
				if match := p.Out.Header.Get("If-Match"); strings.HasPrefix(match, `"`) {
					version, _, _ := strings.Cut(strings.Trim(match, `"`), ".")
					p.Out.Header.Set("If-Match", `"`+version+`"`)
				}
			},
			ModifyResponse: func(answer *http.Response) error {
				answer.Header.Del(requestIDHeader) // the gateway's is set already
				return nil
			},
			ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) { failed = err },
			ErrorLog:     slog.NewLogLogger(g.cfg.Logger.Handler(), slog.LevelDebug),
		}
		proxy.ServeHTTP(w, r.WithContext(ctx))
		return g.problem(r, failed)
	}
}

// problem is what a client gets to see when a service did not answer. Whether the command was done is not known: that
// is what Idempotency-Key is for.
func (g *Gateway) problem(r *http.Request, err error) error {
	var large *http.MaxBytesError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &large):
		return &kit.Problem{
			Status: http.StatusRequestEntityTooLarge, Type: "/problems/body-too-large", Title: "Body too large",
			Detail: "the body is larger than the gateway takes",
		}
	case r.Context().Err() != nil:
		return nil // the client is gone
	}
	g.cfg.Logger.WarnContext(r.Context(), "a service does not answer", "path", r.URL.Path, "error", err)
	status := http.StatusBadGateway
	if errors.Is(err, context.DeadlineExceeded) {
		status = http.StatusGatewayTimeout
	}
	return &kit.Problem{
		Status: status, Type: "/problems/unavailable", Title: "Unavailable",
		Detail: "The service did not answer: " + reason(err) + ". Try again with the same Idempotency-Key.",
	}
}

const requestIDHeader = "X-Request-Id"

type requestIDKey struct{}

// ids are those that the gateway takes from a client: they get into logs.
var ids = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// withRequestID gives each request an id, which its answer and the requests to the services have as well.
func withRequestID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get(requestIDHeader)
		if !ids.MatchString(id) {
			id = uuid.NewString()
		}
		w.Header().Set(requestIDHeader, id)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), requestIDKey{}, id)))
	})
}
