package dialect

// TraceSQL is the statement that looks for an event in a table.
func (r *Relay) TraceSQL(table string) string { return r.traceSQL(table, "seq") }
