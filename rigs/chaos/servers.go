//go:build unix

package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Servers are a set of real servers of our own, started by dev/services beside those of
// the clone: they are killed and restarted. One set exists for a clone at a time.
type Servers struct {
	root, state string
	brokerName  string // Kafka or RabbitMQ
	lock        *os.File
	addresses   map[string]string
	broker      sync.Mutex // one restart at a time
	ways        []*way     // to the broker, one for each relay
}

// StartServers starts Kafka or RabbitMQ, with a way of its own for each relay, and the named databases, and
// waits until each has answered.
// What an earlier run left behind is removed first. The caller calls Close.
func StartServers(ctx context.Context, root, broker string, databases []string, relays int) (*Servers, error) {
	s := &Servers{
		root: root, state: filepath.Join(root, ".dev", "chaos"), brokerName: broker, addresses: make(map[string]string),
	}
	if err := s.take(); err != nil {
		return nil, err
	}
	err := s.makeWays(relays)
	if err == nil {
		err = s.start(ctx, append([]string{broker}, databases...))
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Servers) makeWays(relays int) error {
	for range relays {
		w, err := newWay()
		if err != nil {
			return err
		}
		s.ways = append(s.ways, w)
	}
	return nil
}

// take makes sure that no other run of this clone uses the servers.
func (s *Servers) take() error {
	if err := os.MkdirAll(filepath.Dir(s.state), 0o755); err != nil {
		return fmt.Errorf("make the servers' state: %w", err)
	}
	lock, err := os.OpenFile(s.state+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return fmt.Errorf("lock the servers' state: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close() // nothing was written
		return fmt.Errorf("another chaos run of this clone holds %s: wait for its end", lock.Name())
	}
	s.lock = lock
	return nil
}

func (s *Servers) start(ctx context.Context, names []string) error {
	if _, err := os.Stat(s.state); err == nil {
		if err := s.remove(ctx); err != nil {
			return err
		}
	}
	if s.brokerName == RabbitMQ {
		if _, err := s.services(ctx, append([]string{"up"}, names...)...); err != nil {
			return err
		}
		return s.readAddresses(ctx, names)
	}
	// It is started several times a minute, on a machine that is busy. With the classes of
	// an earlier start at hand it needs half of the processor time.
	archive := filepath.Join(s.state, Kafka, "classes.jsa")
	const quick = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
	if err := s.kafkaOptions(quick + " -XX:ArchiveClassesAtExit=" + archive); err != nil {
		return err
	}
	if _, err := s.services(ctx, append([]string{"up"}, names...)...); err != nil {
		return err
	}
	if _, err := s.services(ctx, "down", Kafka); err != nil {
		return err
	}
	if err := s.kafkaOptions(quick + " -XX:SharedArchiveFile=" + archive); err != nil {
		return err
	}
	if _, err := s.services(ctx, "up", Kafka); err != nil {
		return err
	}
	return s.readAddresses(ctx, names)
}

func (s *Servers) kafkaOptions(jvm string) error {
	dir := filepath.Join(s.state, Kafka)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the servers' state: %w", err)
	}
	var proxies strings.Builder
	for _, w := range s.ways {
		_, _ = fmt.Fprintln(&proxies, w.inner, w.address)
	}
	for file, content := range map[string]string{
		"jvm.options": jvm,
		"proxies":     proxies.String(),
		// One that was killed is let in again when its old session is over, and has
		// read its logs: fewer partitions of its own are read sooner.
		"extra.properties": "broker.session.timeout.ms=2000\nbroker.heartbeat.interval.ms=400\n" +
			"transaction.state.log.num.partitions=3\noffsets.topic.num.partitions=1\n" +
			// Consumers that are stopped must lose their partitions within seconds.
			"group.min.session.timeout.ms=1000\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o644); err != nil {
			return fmt.Errorf("write Kafka's options: %w", err)
		}
	}
	return nil
}

func (s *Servers) readAddresses(ctx context.Context, names []string) error {
	lines, err := s.services(ctx, "env")
	if err != nil {
		return err
	}
	// The shell takes its own quotes off again.
	cmd := exec.CommandContext(ctx, "bash", "-c", lines+`
		printf '%s\n' "${POSTROOM_TEST_POSTGRES_URL-}" "${POSTROOM_TEST_MARIADB_URL-}" \
			"${POSTROOM_TEST_KAFKA_BROKERS-}" "${POSTROOM_TEST_AMQP_URL-}"`)
	cmd.Env = environment()
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("read what dev/services env printed: %w", err)
	}
	for i, address := range strings.Split(strings.TrimSuffix(string(out), "\n"), "\n") {
		s.addresses[[]string{PostgreSQL, MariaDB, Kafka, RabbitMQ}[i]] = address
	}
	for _, name := range names {
		if s.addresses[name] == "" {
			return fmt.Errorf("%s was left out: see what dev/services up %s says", name, name)
		}
		if _, err := s.pid(name); err != nil {
			return fmt.Errorf(
				"%s does not run as a process of ours (by Docker?), so it cannot be killed: %w", name, err,
			)
		}
	}
	if s.brokerName == RabbitMQ { // it has one listener for all, and advertises no address
		port, err := strconv.Atoi(s.brokerHost()[strings.LastIndex(s.brokerHost(), ":")+1:])
		if err != nil {
			return fmt.Errorf("read RabbitMQ's port: %w", err)
		}
		for _, w := range s.ways {
			w.inner = port
		}
	}
	return nil
}

// brokerHost is the broker's host and port.
func (s *Servers) brokerHost() string {
	address := s.addresses[s.brokerName]
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		return u.Host
	}
	return address
}

// environment is the caller's without what would lead to other servers or change a relay.
func environment(extra ...string) (kept []string) {
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "POSTROOM_") {
			kept = append(kept, v)
		}
	}
	return append(kept, extra...)
}

// services runs dev/services on our set.
func (s *Servers) services(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(s.root, "dev", "services"), args...)
	// With CI=true a server that is left out is an error, and its reason is told.
	cmd.Env = environment("POSTROOM_DEV_STATE="+s.state, "CI=true")
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	// An end of the context must not leave half a start behind: Close follows.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("dev/services %s: %w\n%s%s", strings.Join(args, " "), err, out.Bytes(), said.Bytes())
	}
	return out.String(), nil
}

// Address is a server's URL, or Kafka's host and port.
func (s *Servers) Address(name string) string { return s.addresses[name] }

func (s *Servers) pid(name string) (int, error) {
	content, err := os.ReadFile(filepath.Join(s.state, name, "pid"))
	if err != nil {
		return 0, err
	}
	word, _, _ := strings.Cut(string(content), " ")
	return strconv.Atoi(word)
}

// restartBroker stops the broker, by SIGKILL or by a clean shutdown, and starts it again. It
// returns when it answers.
func (s *Servers) restartBroker(ctx context.Context, kill bool) error {
	s.broker.Lock()
	defer s.broker.Unlock()
	if kill {
		if err := s.killBroker(ctx); err != nil {
			return err
		}
	} else if _, err := s.services(ctx, "down", s.brokerName); err != nil {
		return err
	}
	_, err := s.services(ctx, "up", s.brokerName)
	return err
}

func (s *Servers) killBroker(ctx context.Context) error {
	pid, err := s.pid(s.brokerName)
	if err != nil {
		return fmt.Errorf("kill the broker: %w", err)
	}
	// The group: RabbitMQ's process is a shell, which has started the broker.
	if err := syscall.Kill(-pid, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill the broker, process %d: %w", pid, err)
	}
	// When its port is free it has let go of its data too. A zombie that nobody waits for
	// has no port, so the process's id would be a worse sign.
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := net.Dial("tcp", s.brokerHost())
		if err != nil {
			return nil
		}
		_ = conn.Close() // nothing was sent
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// remove stops the servers and removes their data.
func (s *Servers) remove(ctx context.Context) error {
	if _, err := s.services(ctx, "down", "--purge"); err != nil {
		return err
	}
	if err := os.RemoveAll(s.state); err != nil {
		return fmt.Errorf("remove the servers' state: %w", err)
	}
	return nil
}

// Close stops the servers and removes their data.
func (s *Servers) Close() error {
	defer func() { _ = s.lock.Close() }() // which lets go of the lock
	for _, w := range s.ways {
		w.close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	return s.remove(ctx)
}
