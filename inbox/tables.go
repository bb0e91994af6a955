package inbox

import "github.com/postroom/postroom/internal/dialect"

// Tables names the dialect and the table of accepted messages, such as
// "postgresql:billing.inbox_events". Two inboxes of one consumer name that differ in it
// keep two accounts of what was handled.
func (ib *Inbox) Tables() string {
	names := ib.store.(*dialect.Inbox).Names()
	return string(names.Dialect) + ":" + names.Plain(dialect.InboxEvents)
}
