package doctor

import (
	"context"
	"time"

	"github.com/postroom/postroom/internal/groupoffset"
	"github.com/postroom/postroom/internal/kafkatx"
)

// Kafka reads what the checks need from Kafka. Safe for concurrent use.
type Kafka interface {
	// Cluster describes the brokers.
	Cluster(ctx context.Context) (Cluster, error)
	// Topics describes topics by name. It also returns those that do not exist, with Missing set.
	Topics(ctx context.Context, names ...string) (map[string]Topic, error)
	// Open returns, for each partition of these topics, the oldest transaction that has been open for at least age
	// and blocks readers of committed records.
	Open(ctx context.Context, age time.Duration, topics ...string) ([]kafkatx.Open, error)
	// Committed returns the offsets of groups. One that does not exist has none.
	Committed(ctx context.Context, groups ...string) ([]GroupOffset, error)
}

// GroupOffset is the committed offset of a group in a partition.
type GroupOffset struct {
	Group, Topic string
	Partition    int32
	At           int64
	Mark         groupoffset.Mark
}

// Cluster is a Kafka cluster.
type Cluster struct {
	Brokers int
	// InitProducerID is the highest version of the request InitProducerId that all brokers support; negative: none.
	InitProducerID int16
	// TransactionVersion is the cluster's finalized feature; 0: it has none.
	TransactionVersion int16
}

// Topic is a topic as the cluster describes it.
type Topic struct {
	Missing    bool   // it does not exist
	Denied     bool   // the relay's user may not describe it
	Err        error  // any other reason why it could not be described
	ID         string // as Kafka's tools print it; empty: the brokers do not return one
	Partitions []Partition
	// Config has the topic's effective settings. If it is nil, ConfigErr says why.
	Config       map[string]string
	ConfigDenied bool
	ConfigErr    error
}

// Partition is a partition of a topic.
type Partition struct {
	ID       int32
	Leader   int32 // negative: no leader
	Replicas int
	InSync   int
}
