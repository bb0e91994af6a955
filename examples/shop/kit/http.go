package kit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// MaxBody is the largest body of a request, in bytes.
const MaxBody = 64 << 10

// HandlerFunc is an HTTP handler that returns its error, a *Problem as a rule.
type HandlerFunc func(w http.ResponseWriter, r *http.Request) error

// ServeHTTP limits the body, runs the handler and answers with its error.
func (h HandlerFunc) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, MaxBody)
	if err := h(w, r); err != nil {
		WriteError(w, r, err)
	}
}

// Mux is http.ServeMux with problems for paths and methods that it does not know.
type Mux struct{ mux http.ServeMux }

// Handle registers a handler for a pattern such as "GET /orders/{id}".
func (m *Mux) Handle(pattern string, h http.Handler) { m.mux.Handle(pattern, h) }

// HandleFunc registers a function that returns its error.
func (m *Mux) HandleFunc(pattern string, h HandlerFunc) { m.mux.Handle(pattern, h) }

// ServeHTTP finds the handler for the request.
func (m *Mux) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, pattern := m.mux.Handler(r); pattern == "" {
		WriteError(w, r, NotFound("there is nothing at "+r.Method+" "+r.URL.Path))
		return
	}
	m.mux.ServeHTTP(w, r)
}

// ReadJSON reads the body into v. It refuses fields that v does not have, because a misspelt field would be ignored.
func ReadJSON(r *http.Request, v any) error {
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	err := decoder.Decode(v)
	if err == nil && decoder.Decode(&struct{}{}) != io.EOF {
		err = errors.New("there is more after the JSON value")
	}
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return &Problem{
			Status: http.StatusRequestEntityTooLarge, Type: "/problems/body-too-large", Title: "Body too large",
			Detail: fmt.Sprintf("the body may have %d bytes", large.Limit),
		}
	case err != nil:
		return BadRequest("the body is not the JSON that is expected here: " + err.Error())
	}
	return nil
}

// WriteJSON answers with v.
func WriteJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client is gone if this fails
	return nil
}

// ExpectedVersion is the version in the header If-Match, such as "7". 0: the client did not say.
func ExpectedVersion(r *http.Request) (int64, error) {
	text := strings.Trim(strings.TrimPrefix(r.Header.Get("If-Match"), "W/"), `"`)
	if text == "" || text == "*" {
		return 0, nil
	}
	version, err := strconv.ParseInt(text, 10, 64)
	if err != nil || version < 1 {
		return 0, BadRequest("If-Match must be a version in quotes")
	}
	return version, nil
}

// SetVersion sets the header ETag, which a client sends back in If-Match.
func SetVersion(w http.ResponseWriter, version int64) {
	w.Header().Set("ETag", `"`+strconv.FormatInt(version, 10)+`"`)
}

// Serve answers requests on the listener until ctx ends; then it finishes those that are under way, for 5 seconds.
func Serve(ctx context.Context, listener net.Listener, h http.Handler) error {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err := server.Shutdown(grace)
	if err != nil {
		err = server.Close() // cuts off those that are still under way
	}
	if e := <-served; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}
