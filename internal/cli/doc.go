// Package cli is the relay command: its verbs, what they print and how they end.
//
// It promises:
//
//   - exit code 0 when the work is done, 1 when it failed, 2 for wrong usage or
//     configuration (all mistakes told at once), 3 when a check found something;
//   - results on standard output, as a table or with --json as JSON, and everything
//     else on standard error;
//   - that no output holds a password;
//   - that `relay run` drains on the first SIGTERM or SIGINT and stops at once on the
//     second.
package cli
