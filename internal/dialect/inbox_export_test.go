package dialect

// ExpiredSQL is the statement of ExpiredMessages.
func (i *Inbox) ExpiredSQL() string { return i.expired }
