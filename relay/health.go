package relay

import (
	"log/slog"
	"sync"
	"time"
)

// health logs changes of state, one line each: the first error of an outage, and its end.
type health struct {
	log *slog.Logger

	mu    sync.Mutex
	since map[string]time.Time // part → start of its outage
}

// Parts that fail and recover each by itself: reads may succeed while deletes do not.
const (
	partDatabase = "database"
	partDeletes  = "database, deleting"
	partSink     = "sink"

	partManifests = "sink, removing old manifests" // costs disk, delays nothing
)

func newHealth(log *slog.Logger) *health {
	return &health{log: log, since: make(map[string]time.Time)}
}

// paused notes that a part fails.
func (h *health) paused(part string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, already := h.since[part]; already {
		return
	}
	h.since[part] = time.Now()
	h.log.Warn("delivery paused: will go on by itself", "outage_of", part, "error", err)
}

// failing reports whether any part fails.
func (h *health) failing() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.since) > 0
}

// failedFor returns for how long a part has failed; 0: it works.
func (h *health) failedFor(part string, now time.Time) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	since, failing := h.since[part]
	if !failing {
		return 0
	}
	return max(now.Sub(since), 1)
}

// resumed notes that it works again.
func (h *health) resumed(part string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	start, failing := h.since[part]
	if !failing {
		return
	}
	delete(h.since, part)
	h.log.Info("delivery resumed", "outage_of", part, "after", time.Since(start).Round(time.Millisecond))
}
