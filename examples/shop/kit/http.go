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
	fallback, pattern := m.mux.Handler(r)
	if pattern != "" {
		m.mux.ServeHTTP(w, r)
		return
	}
	// The ServeMux knows whether another method has a handler, and which. Its own answer is no problem of RFC 9457.
	plain := plainAnswer{header: http.Header{}}
	fallback.ServeHTTP(&plain, r)
	if plain.status != http.StatusMethodNotAllowed {
		WriteError(w, r, NotFound("there is nothing at "+r.URL.Path))
		return
	}
	w.Header()["Allow"] = plain.header["Allow"]
	WriteError(w, r, &Problem{
		Status: plain.status, Type: "/problems/method-not-allowed", Title: "Method not allowed",
		Detail: r.URL.Path + " does not take " + r.Method,
	})
}

// plainAnswer keeps the status and the header of an answer.
type plainAnswer struct {
	header http.Header
	status int
}

func (a *plainAnswer) Header() http.Header         { return a.header }
func (a *plainAnswer) WriteHeader(status int)      { a.status = status }
func (a *plainAnswer) Write(b []byte) (int, error) { return len(b), nil }

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
	text := r.Header.Get("If-Match")
	if strings.HasPrefix(text, "W/") {
		// RFC 9110: a weak ETag says that two answers are alike, which is not enough to change one. None matches here.
		return 0, &Problem{
			Status: http.StatusPreconditionFailed, Type: "/problems/weak-etag", Title: "Weak ETag",
			Detail: "If-Match needs a strong ETag, without W/",
		}
	}
	text = strings.Trim(text, `"`)
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

// Serve answers requests on the listener until ctx ends; then it finishes those that are under way, for 5 seconds. It
// rejects what a page of another site sends (guard.go).
func Serve(ctx context.Context, listener net.Listener, h http.Handler) error {
	server := &http.Server{
		Handler: guard(listener.Addr(), h), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second,
	}
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
