// Package facts queries an installation's database for relay doctor. It has one method for each subject,
// which returns what it found without an assessment. Package doctor assesses it.
//
// It changes nothing, and blocks nobody: see Database.
package facts
