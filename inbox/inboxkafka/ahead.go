package inboxkafka

import (
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// aheadError says that Kafka's offset of a partition is ahead of what the database knows, in full and in a line of a list.
type aheadError struct {
	error
	line string
}

func (e aheadError) Unwrap() error { return e.error }

// mostNamed bounds the partitions that one error names. After a restore it is usually all of the topic's, which may be thousands.
const mostNamed = 20

// allAhead is one error about all partitions of an assignment, so that an operator sets all offsets back at once,
// and not one after each start. It is nil without any.
func allAhead(ahead []aheadError) error {
	if len(ahead) < 2 {
		for _, one := range ahead {
			return one
		}
		return nil
	}
	named := ahead[:min(len(ahead), mostNamed)]
	lines := make([]string, len(named)-1)
	for i, other := range named[1:] {
		lines[i] = other.line
	}
	more := ""
	if rest := len(ahead) - len(named); rest > 0 {
		more = fmt.Sprintf("\nand %d more, which are named at a later start", rest)
	}
	return fmt.Errorf("%w\nand likewise:\n%s%s", ahead[0], strings.Join(lines, "\n"), more)
}

// namesOf returns the partitions in order, so that an error about several of them is the same each time.
func namesOf(offsets map[string]map[int32]kgo.Offset) (names []partitionName) {
	for topic, partitions := range offsets {
		for id := range partitions {
			names = append(names, partitionName{topic, id})
		}
	}
	slices.SortFunc(names, cmpNames)
	return names
}

// groupsTool is the start of a command line of Kafka's own.
func (m *member) groupsTool() string {
	return "kafka-consumer-groups.sh --bootstrap-server " + m.cfg.Brokers[0]
}
