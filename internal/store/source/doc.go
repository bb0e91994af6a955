// Package source has what an operator asks of a source: its state, who owns it, its scheduled events, and changes of
// its name and identity. It reads, and locks the lease row for a change; the lease itself is the relay's.
package source
