//go:build unix

package kafkatest

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Options say what a cluster looks like. The zero value is one node without
// authentication.
type Options struct {
	// Nodes is how many nodes there are, from 1 to 5. Default 1. Their ids count from 1.
	Nodes int

	// Secure adds to each node a listener with SASL (SCRAM-SHA-256, no TLS; see
	// SecureBrokers) and an authorizer that denies its users what nobody allowed
	// them (see SetUser and Allow). Whoever comes through the plain listener may do
	// everything.
	Secure bool

	// Settings are further lines of each node's server.properties, and win over ours.
	Settings map[string]string

	// Version of Kafka, as its folder is called: Kafka39. Default: the newest that is installed.
	Version string
}

// Kafka39 is the last of the versions 3, which dev/services fetches beside the newest: what clients name by topic
// ids in Kafka 4, such as the offsets that they commit, they name by the topics' names there.
const Kafka39 = "3.9.1"

// StartTimeout is how long a node may take to answer, on a machine that is busy.
const StartTimeout = 4 * time.Minute

// Cluster is a running cluster. Its methods are safe for concurrent use.
type Cluster struct {
	options Options
	java    string
	jvm     []string // options beside javaOptions
	lib     string   // the folder with Kafka's jars
	dir     string
	id      string
	nodes   []*Node

	mu     sync.Mutex
	client *kgo.Client // through the plain listener; made when first asked for
}

// Start starts a cluster, waits until all its nodes answer, and stops it when the test
// ends.
func Start(t testing.TB, options Options) *Cluster {
	t.Helper()
	java, lib, err := installed(options.Version)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), StartTimeout)
	defer cancel()
	c, err := New(ctx, java, lib, options)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

// New starts a cluster without a test: java is the program, lib the folder with the
// jars, as from Installed. Close stops it and removes its data.
func New(ctx context.Context, java, lib string, options Options) (*Cluster, error) {
	c, err := prepare(java, lib, options)
	if err != nil {
		return nil, err
	}
	if archive, err := classes(java, lib); err == nil { // else it takes longer
		c.jvm = []string{"-XX:SharedArchiveFile=" + archive}
	}
	if err := c.begin(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// newID is a random id as Kafka writes them: 16 bytes in base64. Never one that begins with a dash, which one in
// 64 would do: Kafka's tools take it for an option, and Kafka itself does not give out such ids either.
func newID(random io.Reader) string {
	for {
		var id [16]byte
		_, _ = io.ReadFull(random, id[:]) // crypto/rand never fails
		if text := base64.RawURLEncoding.EncodeToString(id[:]); text[0] != '-' {
			return text
		}
	}
}

// prepare makes a cluster of which nothing runs yet.
func prepare(java, lib string, options Options) (*Cluster, error) {
	if options.Nodes == 0 {
		options.Nodes = 1
	}
	if options.Nodes < 1 || options.Nodes > 5 {
		return nil, fmt.Errorf("kafkatest: Options.Nodes is %d: want 1 to 5", options.Nodes)
	}
	dir, err := os.MkdirTemp("", "postroom-kafka-")
	if err != nil {
		return nil, err
	}
	c := &Cluster{options: options, java: java, lib: lib, dir: dir, id: newID(rand.Reader)}
	for n := range options.Nodes {
		c.nodes = append(c.nodes, &Node{cluster: c, id: int32(n + 1), dir: filepath.Join(dir, fmt.Sprint("node", n+1))})
	}
	return c, nil
}

func (c *Cluster) begin(ctx context.Context) error {
	if err := c.choosePorts(); err != nil {
		return err
	}
	if err := c.format(ctx); err != nil {
		return err
	}
	return c.each(func(n *Node) error { return n.Start(ctx) })
}

// each runs fn for all nodes at the same time.
func (c *Cluster) each(fn func(*Node) error) error {
	errs := make([]error, len(c.nodes))
	var all sync.WaitGroup
	for i, n := range c.nodes {
		all.Go(func() { errs[i] = fn(n) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// Close kills the nodes and removes their data. Later calls do nothing.
func (c *Cluster) Close() error {
	c.mu.Lock()
	if c.client != nil {
		c.client.Close()
		c.client = nil
	}
	c.mu.Unlock()
	return errors.Join(c.each((*Node).Kill), os.RemoveAll(c.dir))
}

// Node returns the node with that id; ids count from 1.
func (c *Cluster) Node(id int32) *Node { return c.nodes[id-1] }

// Brokers returns the plain listeners' addresses.
func (c *Cluster) Brokers() []string {
	return c.addresses(func(n *Node) int { return n.ports.plain })
}

// SecureBrokers returns the addresses of the listeners that want SASL.
func (c *Cluster) SecureBrokers() []string {
	return c.addresses(func(n *Node) int { return n.ports.secure })
}

func (c *Cluster) addresses(port func(*Node) int) []string {
	list := make([]string, len(c.nodes))
	for i, n := range c.nodes {
		list[i] = fmt.Sprint("127.0.0.1:", port(n))
	}
	return list
}

// KillAll kills all nodes, as a power cut would.
func (c *Cluster) KillAll() error { return c.each((*Node).Kill) }

// StartAll starts the nodes that do not run, and waits until they answer.
func (c *Cluster) StartAll(ctx context.Context) error {
	return c.each(func(n *Node) error { return n.Start(ctx) })
}

// Installed finds Java and the newest of the Kafkas that dev/services has fetched.
func Installed() (java, lib string, err error) { return installed("") }

// installed is Installed for one version; empty: the newest.
func installed(version string) (java, lib string, err error) {
	if version == "" {
		version = "*"
	}
	const how = "run dev/services up kafka, which installs it"
	if java, err = javaProgram(); err != nil {
		return "", "", fmt.Errorf("kafkatest: there is no Java: %w; %s", err, how)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", "", fmt.Errorf("kafkatest: %w; %s", err, how)
	}
	if at := os.Getenv("XDG_CACHE_HOME"); at != "" {
		cache = at
	} else if home, err := os.UserHomeDir(); err == nil {
		cache = filepath.Join(home, ".cache") // where dev/services has it, on every system
	}
	found, err := filepath.Glob(filepath.Join(cache, "postroom", "kafka-"+version, "kafka_*.jar"))
	if err != nil || len(found) == 0 {
		return "", "", fmt.Errorf(
			"kafkatest: there is no Kafka %s in %s; %s", version, filepath.Join(cache, "postroom"), how,
		)
	}
	return java, filepath.Dir(found[len(found)-1]), nil
}

func (c *Cluster) classpath() string { return filepath.Join(c.lib, "*") }

// String names the cluster in messages.
func (c *Cluster) String() string { return "kafka at " + strings.Join(c.Brokers(), ", ") }
