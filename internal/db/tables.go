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
)
