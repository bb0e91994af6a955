package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/postroom/postroom/internal/doctor/facts"
	"github.com/postroom/postroom/internal/groupoffset"
	inboxstore "github.com/postroom/postroom/internal/store/inbox"
)

// askGroups asks Kafka for the offsets of the groups that the database knows. If one seems to be ahead, it asks the
// database again: a running consumer may have made progress, which it writes to the database before Kafka gets it.
func askGroups(ctx context.Context, d *facts.Database, f *Facts) error {
	groups, topics := f.groupsOfHolds()
	switch {
	case len(groups) == 0:
		return nil
	case f.SinkErr != nil:
		return nil // sink.unreachable reports it
	case f.Sink == nil:
		return errNoBrokers
	}
	offsets, err := bounded(ctx, f, func(ctx context.Context) ([]GroupOffset, error) {
		return f.Sink.Committed(ctx, groups...)
	})
	if err != nil {
		return err
	}
	described, err := bounded(ctx, f, func(ctx context.Context) (map[string]Topic, error) {
		return f.Sink.Topics(ctx, topics...)
	})
	if err != nil {
		return err
	}
	f.Inbox.Groups, f.Inbox.TopicIDs = offsets, make(map[string]string)
	for name, t := range described {
		f.Inbox.TopicIDs[name] = t.ID
	}
	if len(f.lostOffsets()) > 0 {
		return askInboxStatus(ctx, d, f)
	}
	return nil
}

// followsKafka reports whether a row of inbox_offsets must agree with Kafka. If the database keeps the position, the
// consumer ignores Kafka's offset.
func followsKafka(h inboxstore.Partition) bool {
	return h.Group != "" && h.Applied.Valid && !h.Next.Valid
}

func (f *Facts) groupsOfHolds() (groups, topics []string) {
	if f.Inbox.Status == nil {
		return nil, nil
	}
	for _, h := range f.Inbox.Status.Partitions {
		if followsKafka(h) {
			groups, topics = append(groups, h.Group), append(topics, h.Topic)
		}
	}
	slices.Sort(groups)
	slices.Sort(topics)
	return slices.Compact(groups), slices.Compact(topics)
}

// lostOffset is a group's offset that is ahead of the database.
type lostOffset struct {
	held inboxstore.Partition
	at   int64
}

// lostOffsets compares offsets in the same way as inboxkafka does at an assignment.
func (f *Facts) lostOffsets() []lostOffset {
	type place struct {
		group, topic string
		partition    int32
	}
	committed := make(map[place]GroupOffset)
	for _, o := range f.Inbox.Groups {
		committed[place{o.Group, o.Topic, o.Partition}] = o
	}
	var lost []lostOffset
	if f.Inbox.Status == nil {
		return nil
	}
	for _, h := range f.Inbox.Status.Partitions {
		o, ok := committed[place{h.Group, h.Topic, h.Partition}]
		row := groupoffset.Row{Done: h.Applied.Int64, TopicID: h.TopicID}
		if ok && followsKafka(h) && groupoffset.Lost(row, o.At, o.Mark, f.Inbox.TopicIDs[h.Topic]) {
			lost = append(lost, lostOffset{h, o.At})
		}
	}
	return lost
}

// inboxOffsets finds a database that was restored to an earlier state than its group's offsets in Kafka.
func inboxOffsets(f *Facts, found *findings) {
	lost := f.lostOffsets()
	for len(lost) > 0 {
		first := lost[0].held
		n := 1
		for n < len(lost) && lost[n].held.Consumer == first.Consumer && lost[n].held.Topic == first.Topic {
			n++
		}
		var partitions, reset []string
		between := int64(0)
		for _, l := range lost[:n] {
			between += l.at - l.held.Applied.Int64
			partitions = append(partitions, fmt.Sprint(l.held.Partition))
			arguments := groupoffset.Reset(l.held.Group, l.held.Topic, l.held.Partition, l.held.Applied.Int64)
			reset = append(reset, f.kafkaTool("kafka-consumer-groups.sh")+" "+arguments)
		}
		found.add(Problem, "inbox.offsets", first.Consumer+" "+first.Topic,
			fmt.Sprintf("the offsets of group %s are ahead of the database, by %s in %s (%s): "+
				"the database was restored to an earlier state, or somebody set the offsets",
				first.Group, counted(between, "offset"), counted(int64(n), "partition"), strings.Join(partitions,
					", ")),
			"the messages in between are not applied, and the consumer does not start. Stop it before you set the "+
				"offsets "+
				"back. To skip these messages instead, set AdoptOffsets once", reset...)
		lost = lost[n:]
	}
}
