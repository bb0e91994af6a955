// Package source has the operations of an operator on a source: its state, its owner, its scheduled events, and changes
// of its name and identity. It reads, and locks the lease row for a change. Only the relay changes the lease.
package source
