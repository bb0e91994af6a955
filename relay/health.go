package relay

import (
	"errors"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"time"
)

// health logs changes of state, one line each: the first error of an outage, what it is
// that stands in the way now, when that changes, and the outage's end.
type health struct {
	log *slog.Logger

	mu     sync.Mutex
	failed map[string]*partOutage
}

// partOutage is the outage of a part.
type partOutage struct {
	since  time.Time
	err    error                // that came last with another cause than the one before
	cause  string               // of err
	logged map[string]time.Time // causes → when the log had them last
}

// causeQuiet is how long a cause that comes back is not logged again, because two causes may
// alternate. At most causesLogged causes are logged in that time.
const (
	causeQuiet   = time.Minute
	causesLogged = 20
)

// Parts that fail and recover each by itself: reads may succeed while deletes do not.
const (
	partDatabase = "database"
	partDeletes  = "database, deleting"
	partParking  = "database, parking"
	partSink     = "sink"

	partManifests = "sink, removing old manifests" // costs disk, delays nothing
)

func newHealth(log *slog.Logger) *health {
	return &health{log: log, failed: make(map[string]*partOutage)}
}

// paused notes that a part fails, and why.
func (h *health) paused(part string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now, cause := time.Now(), outageCause(err)
	o, already := h.failed[part]
	if !already {
		h.failed[part] = &partOutage{since: now, err: err, cause: cause, logged: map[string]time.Time{cause: now}}
		h.log.Warn("delivery paused: will go on by itself", "outage_of", part, "error", err)
		return
	}
	if cause == o.cause {
		return
	}
	o.err, o.cause = err, cause
	maps.DeleteFunc(o.logged, func(_ string, at time.Time) bool { return now.Sub(at) >= causeQuiet })
	if _, lately := o.logged[cause]; lately || len(o.logged) >= causesLogged {
		return
	}
	o.logged[cause] = now
	h.log.Warn("delivery is still paused, and what stands in its way is another now", "outage_of", part,
		"since", o.since.UTC().Format(time.RFC3339), "error", err)
}

// outageCause names the cause of an outage: what an OutageError says, else the error's text
// without its numbers. Counts and times change while the cause stays.
func outageCause(err error) string {
	var named OutageError
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

// failing reports whether any part fails.
func (h *health) failing() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.failed) > 0
}

// failedFor returns for how long a part has failed; 0: it works.
func (h *health) failedFor(part string, now time.Time) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	o, failing := h.failed[part]
	if !failing {
		return 0
	}
	return max(now.Sub(o.since), 1)
}

// outage returns since when a part has failed, and why it does now; nil: it works.
func (h *health) outage(part string) (since time.Time, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if o, failing := h.failed[part]; failing {
		return o.since, o.err
	}
	return time.Time{}, nil
}

// resumed notes that it works again.
func (h *health) resumed(part string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	o, failing := h.failed[part]
	if !failing {
		return
	}
	delete(h.failed, part)
	h.log.Info("delivery resumed", "outage_of", part, "after", time.Since(o.since).Round(time.Millisecond))
}
