package db

// Default names of the tables, for Names.Table.
const (
	Events     = "outbox_events"
	Parked     = "outbox_parked"
	Leases     = "outbox_leases"
	KeyLocks   = "outbox_key_locks" // MySQL only
	Archive    = "outbox_archive"
	Scheduled  = "outbox_scheduled"
	Relays     = "outbox_relays"
	Drops      = "outbox_drops"
	Schema     = "postroom_schema"
	SchemaLock = "postroom_schema_lock"

	InboxEvents   = "inbox_events"
	InboxAttempts = "inbox_attempts"
	InboxBlocked  = "inbox_blocked"
	InboxParked   = "inbox_parked"
	InboxOffsets  = "inbox_offsets"
	// InboxReplicaRows and InboxRuns are a replica's.
	InboxReplicaRows = "inbox_replica_rows"
	InboxRuns        = "inbox_replica_runs"

	// The tables of daily partitions.
	InboxExpiry  = "inbox_expiry"
	InboxUndated = "inbox_events_undated" // ids that have no day
	InboxStrays  = "inbox_events_strays"  // ids of days that have no partition: the default partition
	InboxDay     = "inbox_events_d"       // and the day: inbox_events_d20261124
	InboxBefore  = "inbox_events_before"  // the table without partitions, while it is converted
)
