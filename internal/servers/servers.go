//go:build unix

// Package servers has sets of real servers for tests that kill and restart them. dev/services starts a set in addition
// to the servers of the clone, with ports and data of its own.
package servers

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
	"syscall"
	"time"
)

// Names of servers, as dev/services has them.
const (
	PostgreSQL = "postgres"
	MariaDB    = "mariadb"
	Kafka      = "kafka"
	RabbitMQ   = "rabbitmq"
	Redis      = "redis"
)

// Set is a set of servers. Make it with Take. It is safe for concurrent use, if no two calls are about one server.
type Set struct {
	root, state string
	lock        *os.File
	addresses   map[string]string
}

// Take makes sure that no other run of the clone at root uses the set called name, and removes what an earlier run left
// behind. It starts nothing. The caller calls Close.
func Take(ctx context.Context, root, name string) (*Set, error) {
	s := &Set{root: root, state: filepath.Join(root, ".dev", name), addresses: make(map[string]string)}
	if err := s.take(); err != nil {
		return nil, err
	}
	if _, err := os.Stat(s.state); err == nil {
		if err := s.remove(ctx); err != nil {
			return nil, errors.Join(err, s.lock.Close())
		}
	}
	return s, nil
}

func (s *Set) take() error {
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

// Start starts the named servers, and waits until each of them has answered.
func (s *Set) Start(ctx context.Context, kafka KafkaConfig, names ...string) error {
	for _, name := range names {
		if name == Kafka {
			if err := s.prepareKafka(ctx, kafka, names); err != nil {
				return err
			}
		}
	}
	if err := s.Up(ctx, names...); err != nil {
		return err
	}
	return s.readAddresses(ctx, names)
}

// KafkaConfig is what is special about the Kafka of a set.
type KafkaConfig struct {
	// Proxies are lines "port host:port": see dev/services.
	Proxies string
	// Properties are lines for its settings, after those of this package.
	Properties string
}

// prepareKafka starts Kafka once, and stops it. It is started several times a minute afterwards, on a busy machine.
// With the classes of an earlier start in an archive, a start needs half of the processor time.
func (s *Set) prepareKafka(ctx context.Context, config KafkaConfig, beside []string) error {
	archive := filepath.Join(s.state, Kafka, "classes.jsa")
	const quick = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
	if err := s.kafkaOptions(config, quick+" -XX:ArchiveClassesAtExit="+archive); err != nil {
		return err
	}
	if err := s.Up(ctx, beside...); err != nil { // together: they wait for disks, and for each other
		return err
	}
	if err := s.Down(ctx, Kafka); err != nil {
		return err
	}
	return s.kafkaOptions(config, quick+" -XX:SharedArchiveFile="+archive)
}

func (s *Set) kafkaOptions(config KafkaConfig, jvm string) error {
	dir := filepath.Join(s.state, Kafka)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the servers' state: %w", err)
	}
	for file, content := range map[string]string{
		"jvm.options": jvm,
		"proxies":     config.Proxies,
		// A broker that was killed can register again when its old session has expired and it has read its
		// logs. The session is short, and fewer internal partitions are read sooner.
		"extra.properties": "broker.session.timeout.ms=2000\nbroker.heartbeat.interval.ms=400\n" +
			"transaction.state.log.num.partitions=3\noffsets.topic.num.partitions=1\n" +
			// Consumers that are paused must lose their partitions within seconds.
			"group.min.session.timeout.ms=1000\n" + config.Properties,
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o644); err != nil {
			return fmt.Errorf("write Kafka's options: %w", err)
		}
	}
	return nil
}

func (s *Set) readAddresses(ctx context.Context, names []string) error {
	lines, err := s.services(ctx, "env")
	if err != nil {
		return err
	}
	// The shell removes the quotes that it has added.
	cmd := exec.CommandContext(ctx, "bash", "-c", lines+`
		printf '%s\n' "${POSTROOM_TEST_POSTGRES_URL-}" "${POSTROOM_TEST_MARIADB_URL-}" \
			"${POSTROOM_TEST_KAFKA_BROKERS-}" "${POSTROOM_TEST_AMQP_URL-}" "${POSTROOM_TEST_REDIS_ADDR-}"`)
	cmd.Env = Environment()
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("read what dev/services env printed: %w", err)
	}
	for i, address := range strings.Split(strings.TrimSuffix(string(out), "\n"), "\n") {
		s.addresses[[]string{PostgreSQL, MariaDB, Kafka, RabbitMQ, Redis}[i]] = address
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
	return nil
}

// Address returns a server's URL; of Kafka and Redis it is host and port.
func (s *Set) Address(name string) string { return s.addresses[name] }

// Host returns a server's host and port.
func (s *Set) Host(name string) string {
	if u, err := url.Parse(s.addresses[name]); err == nil && u.Host != "" {
		return u.Host
	}
	return s.addresses[name]
}

// Environment returns the caller's environment without variables that would lead to other servers or change a
// relay.
func Environment(extra ...string) (kept []string) {
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "POSTROOM_") {
			kept = append(kept, v)
		}
	}
	return append(kept, extra...)
}

// services runs dev/services on the set.
func (s *Set) services(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(s.root, "dev", "services"), args...)
	// With CI=true it is an error if a server is skipped, and dev/services prints the reason.
	cmd.Env = Environment("POSTROOM_DEV_STATE="+s.state, "CI=true")
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	// If the context ends, dev/services must not be killed in the middle of a start, because Close follows.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("dev/services %s: %w\n%s%s", strings.Join(args, " "), err, out.Bytes(), said.Bytes())
	}
	return out.String(), nil
}

func (s *Set) pid(name string) (int, error) {
	content, err := os.ReadFile(filepath.Join(s.state, name, "pid"))
	if err != nil {
		return 0, err
	}
	word, _, _ := strings.Cut(string(content), " ")
	return strconv.Atoi(word)
}

// Up starts servers that do not run, and waits until each has answered.
func (s *Set) Up(ctx context.Context, names ...string) error {
	_, err := s.services(ctx, append([]string{"up"}, names...)...)
	return err
}

// Down stops servers cleanly.
func (s *Set) Down(ctx context.Context, names ...string) error {
	_, err := s.services(ctx, append([]string{"down"}, names...)...)
	return err
}

// Kill kills a server with SIGKILL, and waits until its port is free.
func (s *Set) Kill(ctx context.Context, name string) error {
	pid, err := s.pid(name)
	if err != nil {
		return fmt.Errorf("kill %s: %w", name, err)
	}
	// Kill the process group, because RabbitMQ's process is a shell that has started the broker.
	if err := syscall.Kill(-pid, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill %s, process %d: %w", name, pid, err)
	}
	// When its port is free, the server has also released its data (not PostgreSQL: its backends are groups of their
	// own, and so it is not killed here). The process id would be a worse sign,
	// because a zombie that nobody waits for keeps its id but has no port.
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := net.Dial("tcp", s.Host(name))
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
func (s *Set) remove(ctx context.Context) error {
	if err := s.Down(ctx, "--purge"); err != nil {
		return err
	}
	if err := os.RemoveAll(s.state); err != nil {
		return fmt.Errorf("remove the servers' state: %w", err)
	}
	return nil
}

// Close stops the servers and removes their data.
func (s *Set) Close() error {
	defer func() { _ = s.lock.Close() }() // releases the lock
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	return s.remove(ctx)
}

// Leave stops the servers and keeps their data, for whoever looks for a fault. State tells where. The next Take of the
// same name removes it.
func (s *Set) Leave() error {
	defer func() { _ = s.lock.Close() }() // releases the lock
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	return s.Down(ctx)
}

// State is the directory of the set: POSTROOM_DEV_STATE for dev/services.
func (s *Set) State() string { return s.state }
