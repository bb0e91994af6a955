package checkpoint

import (
	"sync"
	"sync/atomic"
)

// Saved is the checkpoint of a term, and the part of it that the lease row has. It is safe for concurrent
// use.
type Saved struct {
	current atomic.Pointer[Checkpoint]

	mu    sync.Mutex
	inRow *Checkpoint // the lease row's; nil: it has none
}

// NewSaved returns the checkpoint of the lease row, if it is about this server.
func NewSaved(text []byte, server string) *Saved {
	s := &Saved{inRow: Parse(text, server)}
	s.current.Store(s.inRow)
	if s.inRow == nil && len(text) > 0 {
		s.inRow = &Checkpoint{} // the row is wrong, and has to be overwritten
	}
	return s
}

// Load returns the checkpoint that a session may start with. nil: it starts from 0.
func (s *Saved) Load() *Checkpoint { return s.current.Load() }

// Store sets that checkpoint.
func (s *Saved) Store(c *Checkpoint) { s.current.Store(c) }

// Save writes the checkpoint into the lease row, if it differs from the row. It returns no error: after a
// failed write the next Save tries again, and a start in between reads more rows.
func (s *Saved) Save(write func(text []byte) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.current.Load()
	if c != s.inRow && write(c.Text()) == nil {
		s.inRow = c
	}
}

// RowIsWrong reports whether the checkpoint in the lease row is no longer true, or is another server's
// (hazard proved-ids-come-back).
func (s *Saved) RowIsWrong() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inRow != nil && s.inRow.UpTo == 0
}
