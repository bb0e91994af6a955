package relay

// Waiter is a Session that rides out an outage by itself, without an error for the
// records that it holds, and can say what it waits for. The relay tells the log when an
// outage begins and when it ends.
type Waiter interface {
	Session

	// Waiting returns since when records wait that the session was given, for what, and
	// what an operator can do; nil when none of them waits for long. It does not
	// block, and is safe to call from any goroutine until Close is called.
	Waiting() error
}
