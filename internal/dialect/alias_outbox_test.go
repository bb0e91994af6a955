package dialect

import "github.com/postroom/postroom/internal/store/outbox"

// The tests of the relay's statements write events as a service does.
type (
	EventRow = outbox.EventRow
	Outbox   = outbox.Store
)

var NewOutbox = outbox.New
