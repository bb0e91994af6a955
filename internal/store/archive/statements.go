package archive

import "embed"

//go:embed *.sql
var files embed.FS

// statements are those that every dialect has. The .sql files give the reasons.
type statements struct {
	Now, Last, Missing               string
	Count, List                      string
	Keys, PutBack, PutBackWithNewIDs string
}

// lockStatements are those of the dialects that have locks on keys: not of SQLite.
type lockStatements struct {
	LockKeys string
}

// sqliteStatements are those of SQLite alone.
type sqliteStatements struct {
	FirstWrite string
}
