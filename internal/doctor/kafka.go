package doctor

import (
	"context"
	"time"

	"github.com/postroom/postroom/internal/groupoffset"
	"github.com/postroom/postroom/internal/kafkatx"
)

// Kafka is what is asked of the sink. Safe for concurrent use.
type Kafka interface {
	// Cluster describes the brokers.
	Cluster(ctx context.Context) (Cluster, error)
	// Topics describes topics, each under its name; those that do not exist too.
	Topics(ctx context.Context, names ...string) (map[string]Topic, error)
	// Open returns transactions in these topics that have been open for at least that
	// long and keep readers of committed records from going on, the oldest of each
	// partition.
	Open(ctx context.Context, age time.Duration, topics ...string) ([]kafkatx.Open, error)
	// Committed returns the offsets of groups. One that does not exist has none.
	Committed(ctx context.Context, groups ...string) ([]GroupOffset, error)
}

// GroupOffset is where a group reads on in a partition.
type GroupOffset struct {
	Group, Topic string
	Partition    int32
	At           int64
	Mark         groupoffset.Mark
}

// Cluster is a Kafka cluster.
type Cluster struct {
	Brokers int
	// InitProducerID is the highest version of the request InitProducerId that every
	// broker knows; negative: none.
	InitProducerID int16
	// TransactionVersion is the cluster's finalized feature; 0: it has none.
	TransactionVersion int16
}

// Topic is a topic as the cluster describes it.
type Topic struct {
	Missing    bool   // there is none of this name
	Denied     bool   // the relay's user may not describe it
	Err        error  // any other reason why it could not be described
	ID         string // as Kafka's tools write it; empty: the brokers give none
	Partitions []Partition
	// Config are the topic's settings as they are in effect; nil: ConfigErr says why.
	Config       map[string]string
	ConfigDenied bool
	ConfigErr    error
}

// Partition is a partition of a topic.
type Partition struct {
	ID       int32
	Leader   int32 // negative: it has none
	Replicas int
	InSync   int
}
