package source

// TraceArchiveSQL is the statement that looks for an event in the archive.
func (s *Store) TraceArchiveSQL() string { return s.sql.TraceArchive }
