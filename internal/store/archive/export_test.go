package archive

// CountSQL is the statement of Count, with its arguments.
func (s *Store) CountSQL(sel Selection) (string, []any) { return s.selecting(s.sql.Count, sel, 0) }
