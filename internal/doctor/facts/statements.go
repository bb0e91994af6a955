package facts

import "embed"

//go:embed *.sql
var files embed.FS

// statements are those that every dialect has. The .sql files give the reasons.
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

// postgresStatements are PostgreSQL's alone.
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

// mysqlStatements are those of MySQL and MariaDB alone.
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

// sqliteStatements are SQLite's alone.
type sqliteStatements struct {
	TableText, LastID string
}
