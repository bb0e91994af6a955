// Package ci holds what keeps the project's scripts honest: tests that dev/services, dev/compose.yaml and dev/README.md
// say the same, and vulndb, the probe that .ci/run asks before govulncheck. It promises nothing to other packages and
// needs only the standard library; its tests need bash. limits_test.go keeps files, lines, interfaces and packages
// small.
package ci
