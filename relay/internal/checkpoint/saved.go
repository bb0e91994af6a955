package checkpoint

import (
	"sync"
	"sync/atomic"
)

// Saved is the checkpoint of a term, and what the lease row has of it. It is safe for concurrent use.
type Saved struct {
	current atomic.Pointer[Checkpoint]

	mu    sync.Mutex
	inRow *Checkpoint // in the lease row; nil: nothing
}

// NewSaved returns what the lease row has, as far as it says something about this server.
func NewSaved(text []byte, server string) *Saved {
	s := &Saved{inRow: Parse(text, server)}
	s.current.Store(s.inRow)
	if s.inRow == nil && len(text) > 0 {
		s.inRow = &Checkpoint{} // wrong: to be overwritten
	}
	return s
}

// Load returns the checkpoint that a session may start with; nil: it starts from 0.
func (s *Saved) Load() *Checkpoint { return s.current.Load() }

// Store sets that checkpoint.
func (s *Saved) Store(c *Checkpoint) { s.current.Store(c) }

// Save writes the checkpoint into the lease row, if it is another one than there. It returns no error: after a
// failed write the next Save tries again, and a start in between reads more.
func (s *Saved) Save(write func(text []byte) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.current.Load()
	if c != s.inRow && write(c.Text()) == nil {
		s.inRow = c
	}
}

// RowIsWrong reports whether the lease row still has what is not true, or is of another server (hazard
// proved-ids-come-back).
func (s *Saved) RowIsWrong() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inRow != nil && s.inRow.UpTo == 0
}
