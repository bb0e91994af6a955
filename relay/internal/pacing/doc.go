// Package pacing decides how long the relay waits, and how much one read may ask for. It needs
// neither a database nor a sink. None of its types is safe for concurrent use.
package pacing
