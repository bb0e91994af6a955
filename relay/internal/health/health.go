// Package health records which parts of a relay fail, since when and why, and logs changes.
package health

import (
	"errors"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"time"
)

// Health logs each change of state in one line: the first error of an outage, a new cause when the cause
// changes, and the end of the outage. It is safe for concurrent use.
type Health struct {
	log *slog.Logger

	mu     sync.Mutex
	failed map[string]*outage // by part
}

// outage is the outage of a part.
type outage struct {
	since  time.Time
	err    error                // the first error with the current cause
	cause  string               // of err
	logged map[string]time.Time // causes → when the log had them last
}

// repeatAfter is how long a cause that comes back is not logged again, because two causes may alternate. At
// most causesLogged causes are logged in that time.
const (
	repeatAfter  = time.Minute
	causesLogged = 20
)

// These are the parts. Each fails and recovers by itself: reads may succeed while deletes do not.
const (
	Database  = "database"
	Deletes   = "database, deleting"
	Parking   = "database, parking"
	Scheduled = "database, scheduled events"
	Sink      = "sink"
	Manifests = "sink, removing old manifests" // costs disk space, but delays nothing
)

// New returns a Health that writes to log. No part fails yet.
func New(log *slog.Logger) *Health {
	return &Health{log: log, failed: make(map[string]*outage)}
}

// Paused notes that a part fails, and why.
func (h *Health) Paused(part string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now, cause := time.Now(), Cause(err)
	o, already := h.failed[part]
	if !already {
		h.failed[part] = &outage{since: now, err: err, cause: cause, logged: map[string]time.Time{cause: now}}
		h.log.Warn("delivery paused: will go on by itself", "outage_of", part, "error", err)
		return
	}
	if cause == o.cause {
		return
	}
	o.err, o.cause = err, cause
	maps.DeleteFunc(o.logged, func(_ string, at time.Time) bool { return now.Sub(at) >= repeatAfter })
	if _, lately := o.logged[cause]; lately || len(o.logged) >= causesLogged {
		return
	}
	o.logged[cause] = now
	h.log.Warn("delivery is still paused, and the cause is another one now", "outage_of", part,
		"since", o.since.UTC().Format(time.RFC3339), "error", err)
}

// Cause names the cause of an outage. If the error has a method OutageCause (relay.OutageError), it is that
// method's result. Otherwise it is the error's text without its numbers, because counts and times change
// while the cause stays.
func Cause(err error) string {
	var named interface {
		error
		OutageCause() string
	}
	if errors.As(err, &named) {
		return named.OutageCause()
	}
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, err.Error())
}

// Failing reports whether any part fails.
func (h *Health) Failing() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.failed) > 0
}

// FailedFor returns how long a part has failed. 0: it works.
func (h *Health) FailedFor(part string, now time.Time) time.Duration {
	since, err := h.Outage(part)
	if err == nil {
		return 0
	}
	return max(now.Sub(since), 1)
}

// Outage returns since when a part has failed, and the current reason. A nil error means that it works.
func (h *Health) Outage(part string) (since time.Time, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if o, failing := h.failed[part]; failing {
		return o.since, o.err
	}
	return time.Time{}, nil
}

// Resumed notes that a part works again.
func (h *Health) Resumed(part string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	o, failing := h.failed[part]
	if !failing {
		return
	}
	delete(h.failed, part)
	h.log.Info("delivery resumed", "outage_of", part, "after", time.Since(o.since).Round(time.Millisecond))
}
