// Command ceiling moves the rows of outbox_events to Kafka and deletes them, with
// nothing else: no lease, no gaps, no set of rows in flight, no retries. It is what the
// relay is measured against, and loses events as soon as somebody writes meanwhile.
//
// It is as fast as we can make it: the rows are read in PostgreSQL's binary format into
// memory that is used again, and reading, producing and deleting run side by side. The
// records are those of the relay, byte for byte, unless -plain leaves the headers out,
// and the producer has the settings of package relaykafka.
//
// It takes POSTROOM_DATABASE_URL and POSTROOM_KAFKA_BROKERS from the environment, as the
// relay does. When the table is empty it waits for SIGTERM, so that its memory can be
// looked at. With -follow it does not stop at an empty table but polls it: the bare loop
// of the latency benchmark.
package main
