// Package kafkatest starts Apache Kafka clusters of a test's own, for what must not be
// done to the shared broker: killing it, restarting it, taking its users' rights away.
//
// A cluster is real Kafka in KRaft mode, one process for each node, from the jars that
// dev/services keeps. Nodes listen on loopback, on ports of their own below those that
// the kernel hands out, so that a node that is down finds its port free when it is
// started again. Node 1 is the only controller: while it is down no leader is elected.
// A node has 256 MiB of heap, and is up in 3 to 10 seconds; share a cluster between
// scenarios.
//
// It is for tests. With CI=true a machine without Java or the jars fails the test,
// elsewhere it skips it.
package kafkatest
