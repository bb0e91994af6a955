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

// Causer is an error of a sink that knows what tells its cause from another one. While an
// outage lasts the relay tells the log and the lease row whenever the cause changes. By
// itself it compares the errors' texts without the numbers in them, because a count or a
// time is no change.
type Causer interface {
	error

	// OutageCause is the same for as long as the same thing stands in the way.
	OutageCause() string
}
