package dialect

// ExpiredSQL is the statement of ExpiredMessages.
func (i *Inbox) ExpiredSQL() string { return i.expired }

// AskedSQL is the statement of AskedParked.
func (i *Inbox) AskedSQL() string { return i.text(askedOfInbox) }

// Moved is what becomes of a statement's error.
func (i *Inbox) Moved(err error) error { return i.moved(err) }

// Why is what keeps the group's rows.
func (g InboxGroup) Why() string { return g.why() }
