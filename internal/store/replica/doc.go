// Package replica has the statements that keep a table in step with another service's rows: the comparison of
// versions, the table itself, backfills, tombstones, and what Compare reads.
package replica
