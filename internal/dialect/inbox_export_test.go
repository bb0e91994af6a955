package dialect

// ExpiredSQL is the statement of ExpiredMessages.
func (i *Inbox) ExpiredSQL() string { return i.expired }

// AskedSQL is the statement of AskedParked.
func (i *Inbox) AskedSQL() string { return i.text(askedOfInbox) }
