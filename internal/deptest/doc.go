// Package deptest has the tests that hold the packages to what they may import.
package deptest
