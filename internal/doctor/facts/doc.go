// Package facts asks an installation's database what relay doctor wants to know: one method a subject,
// each of which returns what it found without a judgement. Package doctor judges.
//
// It changes nothing, and keeps nothing waiting: see Database.
package facts
