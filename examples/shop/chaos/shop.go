//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/examples/shop/provision"
	"github.com/postroom/postroom/internal/servers"
)

// Consumers and relays that are killed must not hold up the others for long: the run is short.
const (
	session = 2 * time.Second
	lease   = 1500 * time.Millisecond
	timeout = 30 * time.Second // of a step of the saga: on a busy machine the queues before it are long
)

// shop is the shop as processes, with the servers that they use.
type shop struct {
	own               *servers.Set // nil: the servers of the environment, which are left alone
	addresses         map[string]string
	postgres, mariadb *kit.DB // as administrator
	databases         map[string]string
	names             []string // of the databases
	prefix            string
	kafka             kit.Kafka
	listen            map[string]string // where processes answer, by service
	restarting        sync.Mutex
	fleet             *fleet
	log               *journal

	mu       sync.Mutex
	problems []string // of the run itself
}

func (s *shop) problem(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.problems = append(s.problems, fmt.Sprintf(format, args...))
}

// build builds the shop's command, and returns its path.
func build(ctx context.Context, root, dir string) (string, error) {
	binary := filepath.Join(dir, "shop")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, "./examples/shop")
	cmd.Dir = root
	if said, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build ./examples/shop: %w\n%s", err, said)
	}
	return binary, nil
}

// allServers are the servers of the shop.
var allServers = []string{servers.PostgreSQL, servers.MariaDB, servers.Kafka, servers.RabbitMQ, servers.Redis}

// openServers starts servers of our own, or takes those of the environment.
func (s *shop) openServers(ctx context.Context, root string, given bool, getenv func(string) string) error {
	s.addresses = map[string]string{}
	for name, variable := range map[string]string{
		servers.PostgreSQL: "POSTROOM_TEST_POSTGRES_URL", servers.MariaDB: "POSTROOM_TEST_MARIADB_URL",
		servers.Kafka: "POSTROOM_TEST_KAFKA_BROKERS", servers.RabbitMQ: "POSTROOM_TEST_AMQP_URL",
		servers.Redis: "POSTROOM_TEST_REDIS_ADDR",
	} {
		s.addresses[name] = getenv(variable)
		if given && s.addresses[name] == "" {
			return fmt.Errorf("-given needs %s", variable)
		}
	}
	if !given {
		own, err := servers.Take(ctx, root, "shop-chaos")
		if err != nil {
			return err
		}
		s.own = own
		if err := own.Start(ctx, servers.KafkaConfig{}, allServers...); err != nil {
			return err
		}
		for name := range s.addresses {
			s.addresses[name] = own.Address(name)
		}
	}
	var err error
	if s.postgres, err = kit.Connect(ctx, s.addresses[servers.PostgreSQL]); err != nil {
		return err
	}
	s.mariadb, err = kit.Connect(ctx, s.addresses[servers.MariaDB])
	return err
}

func (s *shop) onMariaDB(name string) bool { return name == "stock" || name == "payments" }

// provision makes the databases, the users and the topics.
func (s *shop) provision(ctx context.Context) error {
	s.databases, s.names = map[string]string{}, provision.Databases()
	for _, name := range s.names {
		server := s.addresses[servers.PostgreSQL]
		if s.onMariaDB(name) {
			server = s.addresses[servers.MariaDB]
		}
		made, err := provision.Make(ctx, server, s.prefix, name)
		if err != nil {
			return err
		}
		s.databases[name] = made[name]
	}
	s.kafka = kit.Kafka{
		Brokers: []string{s.addresses[servers.Kafka]}, Prefix: strings.ReplaceAll(s.prefix, "_", "-"), Session: session,
	}
	if s.own == nil {
		s.kafka.Session = 6 * time.Second // the least that brokers allow by themselves
	}
	return s.kafka.CreateTopics(ctx, events.KafkaTopics()...)
}

// processes are the processes of the shop, and how many there are of each. Relays and orders share their work.
var processes = map[string]int{
	"customers": 1, "stock": 1, "payments": 1, "notifications": 1, "gateway": 1, "orders": 2, "relays": 2,
}

// start starts all processes. extra is added to their environment.
func (s *shop) start(extra ...string) error {
	s.listen = map[string]string{}
	var services []string
	for name := range processes {
		address, err := freeAddress()
		if err != nil {
			return err
		}
		s.listen[name] = address
		services = append(services, name+"="+address)
	}
	for _, name := range slices.Sorted(keys(processes)) {
		for i := range processes[name] {
			listen, slot := s.listen[name], name
			if processes[name] > 1 {
				slot = fmt.Sprint(name, "-", i+1)
			}
			if i > 0 { // the gateway knows the first one
				listen = "127.0.0.1:0"
			}
			s.fleet.add(slot, name, append(s.environment(name, services), append(extra, "SHOP_LISTEN="+listen)...))
		}
	}
	return nil
}

func keys[K comparable, V any](m map[K]V) func(func(K) bool) {
	return func(yield func(K) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// environment is what a process gets. Passwords are in it, and so it is in no log and no command line.
func (s *shop) environment(service string, services []string) []string {
	var sources []string
	for _, name := range s.names {
		mails := ""
		if strings.HasPrefix(name, "orders_") {
			mails = "+mails"
		}
		sources = append(sources, name+mails+"="+s.databases[name])
	}
	return servers.Environment(
		"SHOP_DATABASE_URL="+s.databases[service],
		"SHOP_SOURCES="+strings.Join(sources, " "),
		"SHOP_KAFKA_BROKERS="+s.addresses[servers.Kafka],
		"SHOP_KAFKA_SESSION="+s.kafka.Session.String(),
		"SHOP_LEASE="+lease.String(),
		"SHOP_TIMEOUT="+timeout.String(),
		"SHOP_PREFIX="+s.kafka.Prefix,
		"SHOP_AMQP_URL="+s.addresses[servers.RabbitMQ],
		"SHOP_REDIS_ADDRESS="+s.addresses[servers.Redis],
		"SHOP_SERVICES="+strings.Join(services, " "),
	)
}

// freeAddress returns an address below those that systems give to outgoing connections, so that no program takes it
// while its process is dead.
func freeAddress() (string, error) {
	for range 1000 {
		address := fmt.Sprint("127.0.0.1:", 15_000+rand.IntN(17_000))
		if listener, err := net.Listen("tcp", address); err == nil {
			return address, listener.Close()
		}
	}
	return "", errors.New("no port from 15000 to 32000 is free")
}

// rebuild begins a rebuild of the gateway's read model, beside the one that requests are answered from.
func (s *shop) rebuild(ctx context.Context) error {
	s.log.say("%s", rebuildViews)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.listen["gateway"]+"/view/rebuilds", nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	if answer.StatusCode >= 300 {
		err = fmt.Errorf("the gateway answers %s", answer.Status)
	}
	return errors.Join(err, answer.Body.Close())
}

// close stops the servers of our own. keep: their data stays.
func (s *shop) close(keep bool) (err error) {
	for _, db := range []*kit.DB{s.postgres, s.mariadb} {
		if db != nil {
			err = errors.Join(err, db.Close())
		}
	}
	switch {
	case s.own == nil:
		return err
	case keep:
		return errors.Join(err, s.own.Leave())
	}
	return errors.Join(err, s.own.Close())
}
