package inbox

// ExpiredSQL is the statement of ExpiredMessages.
func (s *Store) ExpiredSQL() string { return s.sql.Expired }

// RequestsSQL is the statement of Requests, and its arguments.
func (s *Store) RequestsSQL(consumer string, after int64, limit int) (string, []any) {
	return s.sql.Requests, s.requestArgs(consumer, after, limit)
}

// Moved is what becomes of a statement's error.
func (s *Store) Moved(err error) error { return s.moved(err) }

// KeptBecause is what keeps the group's rows.
func (g DayGroup) KeptBecause() string { return g.keptBecause() }
