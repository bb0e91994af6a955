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

// Servers is a set of real servers of our own, which dev/services starts in addition to those of the clone,
// because they are killed and restarted. A clone can have one set at a time.
type Servers struct {
	root, state string
	brokerName  string // Kafka or RabbitMQ
	lock        *os.File
	addresses   map[string]string
	broker      sync.Mutex // one restart at a time
	ways        []*way     // connections to the broker, one for each relay
}

// StartServers starts Kafka or RabbitMQ, with a proxy of its own for each relay, and the named databases. It
// waits until each of them has answered. First it removes what an earlier run left behind. The caller calls
// Close.
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
	// Kafka is started several times a minute, on a busy machine. With the classes of an earlier start in an
	// archive, a start needs half of the processor time.
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
		// A broker that was killed can register again when its old session has expired and it has read its
		// logs. The session is short, and fewer internal partitions are read sooner.
		"extra.properties": "broker.session.timeout.ms=2000\nbroker.heartbeat.interval.ms=400\n" +
			"transaction.state.log.num.partitions=3\noffsets.topic.num.partitions=1\n" +
			// Consumers that are paused must lose their partitions within seconds.
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
	// The shell removes the quotes that it has added.
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
	if s.brokerName == RabbitMQ { // it has one listener for all relays, and advertises no address
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

// brokerHost returns the broker's host and port.
func (s *Servers) brokerHost() string {
	address := s.addresses[s.brokerName]
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		return u.Host
	}
	return address
}

// environment returns the caller's environment without variables that would lead to other servers or change a
// relay.
func environment(extra ...string) (kept []string) {
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "POSTROOM_") {
			kept = append(kept, v)
		}
	}
	return append(kept, extra...)
}

// services runs dev/services on our set of servers.
func (s *Servers) services(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(s.root, "dev", "services"), args...)
	// With CI=true it is an error if a server is skipped, and dev/services prints the reason.
	cmd.Env = environment("POSTROOM_DEV_STATE="+s.state, "CI=true")
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	// If the context ends, dev/services must not be killed in the middle of a start, because Close follows.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("dev/services %s: %w\n%s%s", strings.Join(args, " "), err, out.Bytes(), said.Bytes())
	}
	return out.String(), nil
}

// Address returns a server's URL, or Kafka's host and port.
func (s *Servers) Address(name string) string { return s.addresses[name] }

func (s *Servers) pid(name string) (int, error) {
	content, err := os.ReadFile(filepath.Join(s.state, name, "pid"))
	if err != nil {
		return 0, err
	}
	word, _, _ := strings.Cut(string(content), " ")
	return strconv.Atoi(word)
}

// restartBroker stops the broker, by SIGKILL or by a clean shutdown, and starts it again. It returns when the
// broker answers.
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
	// Kill the process group, because RabbitMQ's process is a shell that has started the broker.
	if err := syscall.Kill(-pid, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill the broker, process %d: %w", pid, err)
	}
	// When its port is free, the broker has also released its data. The process id would be a worse sign,
	// because a zombie that nobody waits for keeps its id but has no port.
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
	defer func() { _ = s.lock.Close() }() // releases the lock
	for _, w := range s.ways {
		w.close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	return s.remove(ctx)
}
