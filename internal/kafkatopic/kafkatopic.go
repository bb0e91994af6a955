// Package kafkatopic knows which names a Kafka topic can have. It imports nothing of Kafka, so that
// a service that only writes events can ask.
package kafkatopic

// MaxLength is the length of a name in bytes, at most.
const MaxLength = 249

// Rule is the rule in words.
const Rule = "names are 1 to 249 of A-Z a-z 0-9 . _ -"

// Valid reports whether Kafka accepts the name, as org.apache.kafka.common.internals.Topic does.
func Valid(name string) bool {
	if name == "" || name == "." || name == ".." || len(name) > MaxLength {
		return false
	}
	for _, r := range name {
		if !Allowed(r) {
			return false
		}
	}
	return true
}

// Allowed reports whether a name may have the character.
func Allowed(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '.', r == '_', r == '-':
		return true
	}
	return false
}
