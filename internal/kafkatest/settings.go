//go:build unix

package kafkatest

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	mathrand "math/rand/v2"
)

type ports struct{ plain, secure, controller int }

// choosePorts takes ports below the range from which the kernel hands out those of
// clients: in that range a node that is down would lose its port to a passer-by.
func (c *Cluster) choosePorts() error {
	taken := make(map[int]bool)
	next := func() (int, error) {
		for range 1000 {
			port := 15000 + mathrand.IntN(17000)
			if !taken[port] && free(port) {
				taken[port] = true
				return port, nil
			}
		}
		return 0, fmt.Errorf("kafkatest: no free port was found on 127.0.0.1")
	}
	for _, n := range c.nodes {
		for _, port := range []*int{&n.ports.plain, &n.ports.secure, &n.ports.controller} {
			var err error
			if *port, err = next(); err != nil {
				return err
			}
		}
	}
	return nil
}

func free(port int) bool {
	listener, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", port))
	if err != nil {
		return false
	}
	return listener.Close() == nil
}

func (n *Node) settingsFile() string { return filepath.Join(n.dir, "server.properties") }
func (n *Node) dataDir() string      { return filepath.Join(n.dir, "data") }

// settings are the node's server.properties.
func (n *Node) settings() map[string]string {
	c := n.cluster
	voter := fmt.Sprint("127.0.0.1:", c.nodes[0].ports.controller)
	copies := fmt.Sprint(min(len(c.nodes), 3))
	s := map[string]string{
		"node.id":                        fmt.Sprint(n.id),
		"process.roles":                  "broker",
		"controller.quorum.voters":       "1@" + voter,
		"controller.listener.names":      "CONTROLLER",
		"listeners":                      "PLAIN://" + n.Address(),
		"inter.broker.listener.name":     "PLAIN",
		"listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAIN:PLAINTEXT,SECURE:SASL_PLAINTEXT",
		"log.dirs":                       n.dataDir(),
		"auto.create.topics.enable":      "false",
		"delete.topic.enable":            "true",
		// A broker that was killed is found out, and its partitions move, this soon.
		"broker.session.timeout.ms":    "3000",
		"broker.heartbeat.interval.ms": "500",
		// Small: partitions and threads are most of what starting costs.
		"num.partitions":                                   "1",
		"num.network.threads":                              "2",
		"num.io.threads":                                   "2",
		"offsets.topic.num.partitions":                     "1",
		"offsets.topic.replication.factor":                 copies,
		"transaction.state.log.num.partitions":             "2",
		"transaction.state.log.replication.factor":         copies,
		"transaction.state.log.min.isr":                    "1",
		"share.coordinator.state.topic.replication.factor": copies,
		"share.coordinator.state.topic.min.isr":            "1",
		"group.initial.rebalance.delay.ms":                 "0",
	}
	if n.id == 1 {
		s["process.roles"] = "broker,controller"
		s["listeners"] += ",CONTROLLER://" + voter
	}
	if c.options.Secure {
		const listener = "listener.name.secure."
		s["listeners"] += fmt.Sprint(",SECURE://127.0.0.1:", n.ports.secure)
		s["authorizer.class.name"] = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
		s["super.users"] = "User:ANONYMOUS" // whoever came through the plain listener
		s["sasl.enabled.mechanisms"] = "SCRAM-SHA-256"
		s[listener+
			"scram-sha-256.sasl.jaas.config"] = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
	}
	maps.Copy(s, c.options.Settings)
	return s
}

func (n *Node) writeSettings() error {
	var b strings.Builder
	s := n.settings()
	for _, name := range slices.Sorted(maps.Keys(s)) {
		fmt.Fprintf(&b, "%s=%s\n", name, s[name])
	}
	return os.WriteFile(n.settingsFile(), []byte(b.String()), 0o600)
}

// format makes the nodes' data directories. Kafka's own tool makes the first; the others
// differ from it in two ids, and a process for each would take longer than the node's
// start.
func (c *Cluster) format(ctx context.Context) error {
	for _, n := range c.nodes {
		if err := os.MkdirAll(n.dir, 0o700); err != nil {
			return err
		}
		if err := n.writeSettings(); err != nil {
			return err
		}
	}
	first := c.nodes[0]
	args := append(
		javaOptions(), "-cp", c.classpath(), "kafka.tools.StorageTool", "format", "-t", c.id, "-c",
		first.settingsFile(),
	)
	if out, err := exec.CommandContext(ctx, c.java, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("kafkatest: format the storage: %w: %s", err, out)
	}
	const bootstrap, properties = "bootstrap.checkpoint", "meta.properties"
	records, err := os.ReadFile(filepath.Join(first.dataDir(), bootstrap))
	if err != nil {
		return err
	}
	for _, n := range c.nodes[1:] {
		text := fmt.Sprintf("version=1\nnode.id=%d\ndirectory.id=%s\ncluster.id=%s\n", n.id, newID(rand.Reader), c.id)
		if err := os.MkdirAll(n.dataDir(), 0o700); err != nil {
			return err
		}
		for name, data := range map[string][]byte{bootstrap: records, properties: []byte(text)} {
			if err := os.WriteFile(filepath.Join(n.dataDir(), name), data, 0o600); err != nil {
				return err
			}
		}
	}
	return nil
}

func javaProgram() (string, error) {
	if home := os.Getenv("JAVA_HOME"); home != "" {
		if found, err := exec.LookPath(filepath.Join(home, "bin", "java")); err == nil {
			return found, nil
		}
	}
	return exec.LookPath("java")
}
