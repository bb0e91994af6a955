package doctor

import (
	"fmt"
	"slices"

	"github.com/postroom/postroom/internal/kafkatx"
)

// openShown is the number of partitions of a topic for which commands are shown.
const openShown = 5

// open finds transactions in Kafka that block readers.
func open(f *Facts, found *findings) {
	for from := 0; from < len(f.Open); {
		to := from + 1
		for to < len(f.Open) && f.Open[to].Topic == f.Open[from].Topic {
			to++
		}
		openIn(f, f.Open[from:to], found)
		from = to
	}
}

// openIn reports the open transactions of one topic.
func openIn(f *Facts, list []kafkatx.Open, found *findings) {
	first := list[0]
	check, why := "topics.transaction", "consumers with isolation.level=read_committed do not get the records behind it"
	if f.Lease != nil && first.Topic == manifestTopic(f.Lease.SourceID) {
		check, why = "manifest.transaction", "a relay that takes over waits for it, because the records behind it "+
			"say what was sent"
	}
	severity := Warning
	var do []string
	for i, o := range list {
		if o.State != kafkatx.Running || f.Now().Sub(o.Since) >= f.MaxAge {
			severity = Problem
		}
		if i >= openShown {
			continue
		}
		for _, command := range o.Do(f.bootstrap()) {
			if !slices.Contains(do, command) {
				do = append(do, command)
			}
		}
	}
	what := first.What()
	if more := len(list) - 1; more > 0 {
		what += fmt.Sprintf("; there is one in %s more of the topic", counted(int64(more), "partition"))
	}
	found.add(severity, check, "topic "+first.Topic, what, why+"; "+first.Advice(), do...)
}
