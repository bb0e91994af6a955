// Command relay delivers the events of outbox tables to a broker. Its verbs are in
// package internal/cli; `relay --help` lists them.
package main

import (
	"os"

	"github.com/postroom/postroom/internal/cli"
)

func main() {
	os.Exit(cli.Main(cli.Env{
		Args:    os.Args[1:],
		Environ: os.Environ(),
		Stdout:  os.Stdout,
		Stderr:  os.Stderr,
	}))
}
