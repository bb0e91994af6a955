// Command bench measures the built relay next to programs that do less, on the same
// rows and in the same run, and prints the ratio: absolute figures are the machine's.
//
//	go run . drain      how fast a backlog is drained, beside the ceiling
//	go run . memory     the relay's memory with a large backlog; fails at 128 MB
//	go run . latency    commit to consumed at a steady rate, beside a bare loop
//	go run . inbox      messages applied: one by one, in batches, offsets in the database, bare COPY
//	go run . inbox-latency  produced to applied at a steady rate
//
// It needs PostgreSQL (or MariaDB, with -database mariadb) and Kafka, by the environment
// variables that dev/services env prints, and Linux, for a process's peak memory. Databases
// and topics are made for a run and removed after it. docs/benchmarks.md says what
// the figures mean.
//
// This module is never shipped.
package main
