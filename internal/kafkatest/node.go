//go:build unix

package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Node is one process of a cluster. Its methods are safe for concurrent use.
type Node struct {
	cluster *Cluster
	id      int32
	dir     string
	ports   ports

	mu      sync.Mutex // held while the node is started or stopped
	process *os.Process
	ended   chan struct{} // closed when the process is gone
}

// ID is the node's id, its broker id.
func (n *Node) ID() int32 { return n.id }

// Address is that of its plain listener.
func (n *Node) Address() string { return fmt.Sprint("127.0.0.1:", n.ports.plain) }

// LogFile is where the process writes its log.
func (n *Node) LogFile() string { return filepath.Join(n.dir, "log") }

// javaOptions make a small Kafka that is up soon: one that lives for a minute does not
// earn what the second compiler and a parallel collector cost on two processors.
func javaOptions() []string {
	return []string{
		"-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-XX:-UsePerfData",
	}
}

// Start starts the node, unless it runs, and waits until it takes part in the cluster.
// Its data are those it had.
func (n *Node) Start(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.running() {
		return nil
	}
	log, err := os.OpenFile(n.LogFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	args := append(
		append(javaOptions(), n.cluster.jvm...), "-cp", n.cluster.classpath(), "kafka.Kafka", n.settingsFile(),
	)
	cmd := exec.Command(n.cluster.java, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = n.dir, log, log
	cmd.SysProcAttr = processAttributes()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("kafkatest: start node %d: %w", n.id, err)
	}
	ended := make(chan struct{})
	n.process, n.ended = cmd.Process, ended
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	if err := n.await(ctx); err != nil {
		return fmt.Errorf(
			"kafkatest: node %d does not come up: %w; the end of its log:\n%s", n.id, err, tail(n.LogFile()),
		)
	}
	return nil
}

func (n *Node) running() bool {
	if n.process == nil {
		return false
	}
	select {
	case <-n.ended:
		return false
	default:
		return true
	}
}

// await waits until the node answers and counts itself among the brokers.
func (n *Node) await(ctx context.Context) error {
	// No client of its own kind: the port answers before the node does.
	client, err := kgo.NewClient(kgo.SeedBrokers(n.Address()), kgo.DisableClientMetrics(),
		kgo.RequestRetries(0), kgo.RetryTimeout(time.Second))
	if err != nil {
		return err
	}
	defer client.Close()
	request := kmsg.NewPtrMetadataRequest()
	request.Topics = []kmsg.MetadataRequestTopic{}
	for {
		asking, cancel := context.WithTimeout(ctx, 5*time.Second)
		response, err := request.RequestWith(asking, client.SeedBrokers()[0])
		cancel()
		if err == nil {
			for _, broker := range response.Brokers {
				if broker.NodeID == n.id {
					return nil
				}
			}
			err = errors.New("it answers, and is no broker of the cluster yet")
		}
		pause := time.NewTimer(50 * time.Millisecond)
		select {
		case <-pause.C:
		case <-n.ended:
			pause.Stop()
			return errors.New("the process has ended")
		case <-ctx.Done():
			pause.Stop()
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

// Kill ends the process as kill -9 does, and waits until it is gone. A node that does
// not run is left alone.
func (n *Node) Kill() error { return n.end(syscall.SIGKILL) }

// Stop ends the node in order: it hands its partitions over first. It may take as long
// as the cluster needs for that.
func (n *Node) Stop() error { return n.end(syscall.SIGTERM) }

func (n *Node) end(signal syscall.Signal) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.running() {
		return nil
	}
	if err := n.process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kafkatest: end node %d: %w", n.id, err)
	}
	<-n.ended
	return nil
}

// Pause stops the process in the middle of what it does, as a machine that hangs, until
// Resume. Connections stay open and answer nothing.
func (n *Node) Pause() error { return n.signal(syscall.SIGSTOP) }

// Resume lets a paused process go on.
func (n *Node) Resume() error { return n.signal(syscall.SIGCONT) }

func (n *Node) signal(s syscall.Signal) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.running() {
		return fmt.Errorf("kafkatest: node %d does not run", n.id)
	}
	return n.process.Signal(s)
}

// PID is the process's id, 0 when the node does not run.
func (n *Node) PID() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.running() {
		return 0
	}
	return n.process.Pid
}

// tail returns the end of a file.
func tail(name string) string {
	const most = 4096
	data, err := os.ReadFile(name)
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-most):])
}
