// Package servertest starts database servers of a test's own, for what must not be done
// to the shared ones of dev/services: settings that hold for a whole server, restarts,
// standbys. Only tests import it, on Unix.
//
// A server's data is in a folder of its own under the system's temporary directory, it
// listens on loopback alone, on a free port, and it is gone when the test ends. Where the
// programs are not installed the test is skipped, with CI=true it fails.
package servertest
