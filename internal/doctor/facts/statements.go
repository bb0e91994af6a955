package facts

import "embed"

//go:embed *.sql
var files embed.FS

// statements are the statements that every dialect has. The .sql files give the reasons.
type statements struct {
	TableExists                                                               string
	CountEvents, Scheduled                                                    string
	ParkedCounts, ParkedKeys, ParkedFirst                                     string
	TopicsOldest, TopicsLatest, TopicsParked, TopicsArchived, TopicsScheduled string
	HighestEvent, HighestParked, HighestArchived, HighestDropped, IdsBelow    string
	EmptyKeys, WaitingMessages, WaitingHeads                                  string
	Lease, RelayProcesses, MigrationLock                                      string
	Triggers                                                                  string
	Server                                                                    string
}

// postgresStatements exist only for PostgreSQL.
type postgresStatements struct {
	Settings, RoleSettings, Persistence                 string
	CurrentUser, SchemaRight, TableRight, SequenceRight string
	Sequence                                            string
	Days, Retentions                                    string
	Rules, RowSecurity                                  string
	Clock                                               string
	Sessions, HiddenSessions, Prepared                  string
	VacuumState, OldestView, Horizons                   string
}

// mysqlStatements exist only for MySQL and MariaDB.
type mysqlStatements struct {
	Engine                      string
	CurrentUser                 string
	IDColumn, NextID            string
	MayTrigger                  string
	ClusterSize                 string
	Clock                       string
	OpenTransactions, LockWaits string
	MayProcess, HasProcess      string
	History                     string
}

// sqliteStatements exist only for SQLite.
type sqliteStatements struct {
	TableText, LastID string
}
