package doctor

import "context"

// Examine checks one source and its sink. It takes a minute at most, and no longer than ctx. Safe for concurrent use.
func Examine(ctx context.Context, s Source, o Options) Report {
	f := &Facts{Source: s, Options: o.withDefaults()}
	if s.DB != nil {
		f.askDatabase(ctx)
	}
	if s.Sink != nil {
		f.askSink(ctx)
	}
	if s.Exchanges != nil {
		f.askExchanges(ctx)
	}
	return Report{
		Source: s.Name, Database: s.Where, Sink: s.At,
		DatabaseSeen: s.DB != nil, SinkSeen: f.sinkSeen(),
		Findings: f.Check(),
	}
}

// Check runs all checks on the facts and returns the findings, the worst first. It asks neither database nor sink.
func (f *Facts) Check() []Finding {
	found := findings{}
	for _, check := range []func(*Facts, *findings){
		reach, tables, nodes, grants, lease, delivery, parked, identity, transactions, order, durability, topics,
		exchanges, manifest, open, vacuum, clock, unanswered,
	} {
		check(f, &found)
	}
	found.accept(f.Ignore)
	found.sort()
	return found
}

// Check is a kind of finding.
type Check struct {
	ID string
	// Severities that its findings may have.
	Severities []Severity
}

// Checks lists the ids of all findings. docs/operations.md explains them.
func Checks() []Check {
	return []Check{
		{"database.unreachable", []Severity{Problem}},
		{"database.pooler", []Severity{Note}},
		{"sink.unreachable", []Severity{Problem}},

		{"tables.missing", []Severity{Problem}},
		{"tables.old", []Severity{Problem}},
		{"tables.new", []Severity{Problem, Note}},
		{"tables.pending", []Severity{Warning}},
		{"tables.locked", []Severity{Warning}},

		{"nodes.standby", []Severity{Problem}},
		{"nodes.several", []Severity{Problem, Note}},
		{"nodes.relays", []Severity{Warning}},

		{"grants.missing", []Severity{Problem}},
		{"grants.optional", []Severity{Warning}},

		{"lease.halted", []Severity{Problem}},
		{"lease.stopped", []Severity{Problem}},
		{"lease.blind", []Severity{Problem}},
		{"lease.outage", []Severity{Problem}},
		{"lease.expiry", []Severity{Problem}},
		{"lease.source", []Severity{Problem}},
		{"lease.row", []Severity{Problem}},
		{"lease.mode", []Severity{Warning}},
		{"lease.owner", []Severity{Note}},
		{"lease.relays", []Severity{Note}},

		{"delivery.late", []Severity{Problem, Warning}},
		{"delivery.scheduled", []Severity{Problem, Warning}},
		{"delivery.backlog", []Severity{Note}},
		{"parked.failed", []Severity{Problem}},
		{"parked.asked", []Severity{Note}},

		{"identity.generated", []Severity{Problem}},
		{"identity.by-default", []Severity{Warning}},
		{"identity.explicit", []Severity{Note}},
		{"identity.below-one", []Severity{Warning}},
		{"identity.cache", []Severity{Problem}},
		{"identity.increment", []Severity{Problem, Warning}},
		{"sequence.behind", []Severity{Problem}},
		{"sequence.returned", []Severity{Warning}},

		{"transactions.lock", []Severity{Problem, Warning}},
		{"transactions.writer", []Severity{Problem, Warning}},
		{"transactions.prepared", []Severity{Problem, Warning}},
		{"transactions.old", []Severity{Warning}},
		{"transactions.busy-timeout", []Severity{Note}},

		{"order.sql-mode", []Severity{Warning}},
		{"order.isolation", []Severity{Problem}},
		{"order.row-security", []Severity{Problem, Warning}},
		{"order.rule", []Severity{Problem}},
		{"order.trigger", []Severity{Warning}},
		{"order.writers", []Severity{Note}},

		{"durability.synchronous-commit", []Severity{Problem, Warning}},
		{"durability.fsync", []Severity{Problem}},
		{"durability.full-page-writes", []Severity{Problem}},
		{"durability.flush-log", []Severity{Problem}},
		{"durability.sync-binlog", []Severity{Problem}},
		{"durability.doublewrite", []Severity{Problem}},
		{"durability.journal-mode", []Severity{Warning}},
		{"durability.synchronous", []Severity{Problem}},
		{"durability.table", []Severity{Problem}},

		{"topics.missing", []Severity{Problem, Note}},
		{"topics.denied", []Severity{Problem}},
		{"topics.failed", []Severity{Problem}},
		{"topics.leader", []Severity{Problem}},
		{"topics.replicas", []Severity{Problem}},
		{"topics.min-isr", []Severity{Warning}},
		{"topics.size", []Severity{Problem, Warning}},
		{"topics.compacted", []Severity{Warning}},
		{"topics.unclean", []Severity{Warning}},
		{"topics.config", []Severity{Warning, Note}},
		{"topics.transaction", []Severity{Problem, Warning}},

		{"exactly-once.broker", []Severity{Problem}},
		{"exactly-once.version", []Severity{Warning}},
		{"manifest.missing", []Severity{Problem, Note}},
		{"manifest.partitions", []Severity{Problem}},
		{"manifest.settings", []Severity{Problem}},
		{"manifest.replicas", []Severity{Problem}},
		{"manifest.transaction", []Severity{Problem, Warning}},

		{"vacuum.off", []Severity{Problem}},
		{"vacuum.settings", []Severity{Warning}},
		{"vacuum.dead", []Severity{Warning}},
		{"vacuum.history", []Severity{Warning}},
		{"vacuum.held", []Severity{Note}},

		{"clock.skew", []Severity{Warning}},

		{"inbox.missing", []Severity{Problem}},
		{"inbox.old", []Severity{Problem}},
		{"inbox.new", []Severity{Problem, Note}},
		{"inbox.pending", []Severity{Warning}},
		{"inbox.grants", []Severity{Problem}},
		{"inbox.parked", []Severity{Problem}},
		{"inbox.asked", []Severity{Warning, Note}},
		{"inbox.blocked", []Severity{Problem}},
		{"inbox.waits", []Severity{Problem}},
		{"inbox.unpruned", []Severity{Warning}},
		{"inbox.retention", []Severity{Warning}},
		{"inbox.attempts", []Severity{Warning}},
		{"inbox.backfill", []Severity{Warning}},
		{"inbox.days", []Severity{Warning}},
		{"inbox.vacuum", []Severity{Problem, Warning}},
		{"inbox.offsets", []Severity{Problem}},

		{"look.denied", []Severity{Note}},
		{"look.slow", []Severity{Warning}},
		{"look.failed", []Severity{Warning}},
		{"look.skipped", []Severity{Note}},
	}
}
