package driver

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

// request is something that a customer wants. It may be sent more than once.
type request struct {
	method, url string
	body        any
	key         string // Idempotency-Key; may be empty
	match       string // If-Match; may be empty
}

// answer is what the shop said.
type answer struct {
	status  int
	version string // ETag
	body    []byte
	// again: the request was sent more than once, so that this may be the answer to a copy of it.
	again bool
}

func (a answer) into(v any) error {
	if err := json.Unmarshal(a.body, v); err != nil {
		return fmt.Errorf("answer %d: %w", a.status, err)
	}
	return nil
}

// send sends a request until the shop answers it, or ctx ends.
func (d *Driver) send(ctx context.Context, r request) (answer, error) {
	for attempt := 0; ; attempt++ {
		a, err := d.sendOnce(ctx, r)
		if err == nil && !outage(a.status) {
			a.again = attempt > 0
			return a, nil
		}
		if err == nil {
			err = fmt.Errorf("%s %s: %d %s", r.method, r.url, a.status, a.body)
		}
		d.cfg.Log.DebugContext(ctx, "no answer; the request is sent again", "error", err)
		wait := min(time.Second, 20*time.Millisecond<<min(attempt, 6))
		select {
		case <-time.After(wait/2 + rand.N(wait)): // all of them at the same moment would be the next outage
			d.count(func(c *Counts) { c.Retries++ })
		case <-ctx.Done():
			d.count(func(c *Counts) { c.Unanswered++ })
			return a, ctx.Err()
		}
	}
}

// outage tells that nobody has decided about the request.
func outage(status int) bool { return status >= 500 || status == http.StatusTooManyRequests }

func (d *Driver) sendOnce(ctx context.Context, r request) (a answer, err error) {
	text := []byte(nil)
	if r.body != nil {
		if text, err = json.Marshal(r.body); err != nil {
			return a, err
		}
	}
	asked, err := http.NewRequestWithContext(ctx, r.method, r.url, strings.NewReader(string(text)))
	if err != nil {
		return a, err
	}
	for name, value := range map[string]string{"Idempotency-Key": r.key, "If-Match": r.match} {
		if value != "" {
			asked.Header.Set(name, value)
		}
	}
	response, err := d.client.Do(asked)
	if err != nil {
		return a, err
	}
	defer func() { _ = response.Body.Close() }()
	a.status, a.version = response.StatusCode, response.Header.Get("ETag")
	a.body, err = io.ReadAll(response.Body)
	return a, err
}

// unexpected notes an answer that no customer should get.
func (d *Driver) unexpected(ctx context.Context, r request, a answer) error {
	d.count(func(c *Counts) { c.Failed++ })
	err := fmt.Errorf("%s %s: answer %d: %s", r.method, r.url, a.status, a.body)
	d.cfg.Log.WarnContext(ctx, "an answer that no customer should get", "error", err)
	return err
}
