package main

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// needServers skips the test where the servers of -database are missing, and fails it
// when CI=true.
func needServers(t *testing.T, database string) {
	t.Helper()
	o := options{Database: database}
	server, err := o.serverVariable()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{server, envKafka} {
		if _, err := address(name); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
}
