package replica

import "embed"

//go:embed *.sql
var files embed.FS

// statements are those that every dialect has. The .sql files give the reasons.
type statements struct {
	ClaimHead, ClaimRow, ClaimTombstone, ClaimTail string
	StartRun, EndRun, Runs, FinishRuns             string
	Confirmed, Unconfirmed, Bury, PruneTombstones  string
}

// mysqlStatements are those of MySQL and MariaDB alone.
type mysqlStatements struct {
	Claimed, HasRun             string
	TableColumns, UniqueIndexes string
}
