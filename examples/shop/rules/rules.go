// Package rules has a switch for each rule that keeps the data of the shop consistent. The shop is run with all of
// them. Switch one off, and the place that follows the rule takes the naive way instead, which is what most programs
// do at first. Package invariants then shows what breaks.
//
// Each naive way stands beside the right one, in a branch that asks On.
package rules

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
)

// Rule is the name of a rule.
type Rule string

// The rules.
const (
	// Outbox: an event is written in the transaction of the change that it tells of.
	Outbox Rule = "outbox"
	// Inbox: a message and its effect are one transaction, and a copy of it changes nothing.
	Inbox Rule = "inbox"
	// KeyOrder: the events of a key are delivered in the order in which they were written.
	KeyOrder Rule = "key-order"
	// VersionGate: what is older than what is known changes nothing, in a cache and in a read model.
	VersionGate Rule = "version-gate"
	// Compensation: an order that cannot be completed gives back all that it has taken.
	Compensation Rule = "compensation"
)

// All are the rules, in the order in which people meet them.
func All() []Rule { return []Rule{Outbox, Inbox, KeyOrder, VersionGate, Compensation} }

// Switches tells which rules are on. The zero value and a nil pointer have all of them on. It is safe for concurrent
// use.
type Switches struct{ off [5]atomic.Bool }

// On tells whether a rule is followed.
func (s *Switches) On(r Rule) bool {
	i := slices.Index(All(), r)
	return s == nil || i < 0 || !s.off[i].Load()
}

// Set switches a rule on or off.
func (s *Switches) Set(r Rule, on bool) error {
	i := slices.Index(All(), r)
	if i < 0 {
		return fmt.Errorf("there is no rule %q: want one of %q", r, All())
	}
	s.off[i].Store(!on)
	return nil
}

// Parse switches off the rules of a text such as "inbox,key-order". An empty text leaves all on.
func Parse(off string) (*Switches, error) {
	s := &Switches{}
	for _, name := range strings.FieldsFunc(off, func(r rune) bool { return r == ',' || r == ' ' }) {
		if err := s.Set(Rule(name), false); err != nil {
			return nil, err
		}
	}
	return s, nil
}
