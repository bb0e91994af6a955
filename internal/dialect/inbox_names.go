package dialect

// Names returns what NewInbox was given.
func (i *Inbox) Names() Names { return i.names }
