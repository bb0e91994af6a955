package dialect

// ExpiredSQL is the statement of ExpiredMessages.
func (i *Inbox) ExpiredSQL() string { return i.expired }

// AskedSQL is the statement of AskedParked, and its arguments.
func (i *Inbox) AskedSQL(consumer string, after int64, limit int) (string, []any) {
	args := []any{consumer, after, limit}
	if i.names.Dialect == MySQL {
		return i.text(askedOfInboxMySQL), append(append(args, args...), limit)
	}
	return i.text(askedOfInbox), args
}

// Moved is what becomes of a statement's error.
func (i *Inbox) Moved(err error) error { return i.moved(err) }

// Why is what keeps the group's rows.
func (g InboxGroup) Why() string { return g.why() }
