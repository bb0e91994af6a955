// Package topics knows which topics a relay may deliver to, and for which topics its source recently had
// events.
package topics

import (
	"slices"
	"strings"
)

// Allowed is a list of topics and prefixes of topics. The zero value allows every topic.
type Allowed struct {
	names    map[string]bool
	prefixes []string
}

// NewAllowed makes a list of topics. A pattern that ends with * stands for all topics with that prefix.
// Without a pattern every topic is allowed.
func NewAllowed(patterns []string) Allowed {
	var a Allowed
	for _, p := range patterns {
		if prefix, ok := strings.CutSuffix(p, "*"); ok {
			a.prefixes = append(a.prefixes, prefix)
			continue
		}
		if a.names == nil {
			a.names = map[string]bool{}
		}
		a.names[p] = true
	}
	return a
}

// Everything reports whether every topic is allowed.
func (a Allowed) Everything() bool { return a.names == nil && a.prefixes == nil }

// Has reports whether the topic is allowed.
func (a Allowed) Has(topic string) bool {
	if a.Everything() || a.names[topic] {
		return true
	}
	return slices.ContainsFunc(a.prefixes, func(prefix string) bool { return strings.HasPrefix(topic, prefix) })
}
