package relay

import (
	"fmt"
	"slices"
	"strings"
)

// Mode says how often an event may reach consumers.
type Mode string

// The modes.
const (
	// AtLeastOnce: after a crash or a lost lease some events are delivered again.
	AtLeastOnce Mode = "at-least-once"
	// ExactlyOnce: each event is in exactly one committed transaction of the broker.
	ExactlyOnce Mode = "exactly-once"
)

// Policy says what becomes of an event that the sink refuses for good.
type Policy string

// The policies.
const (
	// BlockKey parks the event and, behind it, the later ones of its key, in order. Other
	// keys flow. An event without a key is parked alone.
	BlockKey Policy = "block-key"
	// Skip parks the event alone: later ones of its key overtake it.
	Skip Policy = "skip"
	// Halt stops the source. Nothing is parked.
	Halt Policy = "halt"
)

// Modes lists the modes, the default first.
func Modes() []Mode { return []Mode{AtLeastOnce, ExactlyOnce} }

// Policies lists the policies, the default first.
func Policies() []Policy { return []Policy{BlockKey, Skip, Halt} }

// validateDelivery checks mode, policy and topics.
func (c Config) validateDelivery() []error {
	var errs []error
	if !slices.Contains(Modes(), c.Mode) {
		errs = append(errs, fmt.Errorf("Mode is %q: want %s", c.Mode, listed(Modes())))
	}
	if _, ok := c.Sink.(Transactional); c.Mode == ExactlyOnce && c.Sink != nil && !ok {
		errs = append(errs, fmt.Errorf("Mode is %q, and a sink of type %T has no transactions: use relaykafka, or %q "+
			"with an inbox on the consumer's side",
			ExactlyOnce, c.Sink, AtLeastOnce))
	}
	if !slices.Contains(Policies(), c.OnRejection) {
		errs = append(errs, fmt.Errorf("OnRejection is %q: want %s", c.OnRejection, listed(Policies())))
	}
	for _, topic := range c.Topics {
		if err := CheckTopicPattern(topic); err != nil {
			errs = append(errs, fmt.Errorf("in Topics: %w", err))
		}
	}
	return errs
}

func listed[T ~string](values []T) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = fmt.Sprintf("%q", string(v))
	}
	return strings.Join(texts, ", ")
}

// CheckTopicPattern says why an element of Config.Topics cannot be used: it is empty, or
// has a * that is not its last character.
func CheckTopicPattern(pattern string) error {
	switch i := strings.IndexByte(pattern, '*'); {
	case pattern == "":
		return fmt.Errorf("a topic is empty: name it, or leave the list out to allow every topic")
	case i >= 0 && i != len(pattern)-1:
		return fmt.Errorf("%q: a * may only be the last character, as in orders.*", pattern)
	}
	return nil
}

// topicList is Config.Topics, ready to be asked for each record. The zero value allows
// every topic.
type topicList struct {
	names    map[string]bool
	prefixes []string
}

func newTopicList(patterns []string) topicList {
	var l topicList
	for _, p := range patterns {
		if prefix, ok := strings.CutSuffix(p, "*"); ok {
			l.prefixes = append(l.prefixes, prefix)
			continue
		}
		if l.names == nil {
			l.names = map[string]bool{}
		}
		l.names[p] = true
	}
	return l
}

func (l topicList) allows(topic string) bool {
	if l.names == nil && l.prefixes == nil || l.names[topic] {
		return true
	}
	return slices.ContainsFunc(l.prefixes, func(prefix string) bool { return strings.HasPrefix(topic, prefix) })
}
