//go:build unix

package chaos

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/postroom/postroom/internal/servers"
)

// Servers is a set of real servers of our own, because they are killed and restarted. A clone can have one set
// at a time.
type Servers struct {
	set        *servers.Set
	brokerName string     // Kafka or RabbitMQ
	broker     sync.Mutex // one restart at a time
	ways       []*way     // connections to the broker, one for each relay
}

// StartServers starts Kafka or RabbitMQ, with a proxy of its own for each relay, and the named databases. It
// waits until each of them has answered. First it removes what an earlier run left behind. The caller calls
// Close.
func StartServers(ctx context.Context, root, broker string, databases []string, relays int) (*Servers, error) {
	set, err := servers.Take(ctx, root, "chaos")
	if err != nil {
		return nil, err
	}
	s := &Servers{set: set, brokerName: broker}
	if err = s.makeWays(relays); err == nil {
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

func (s *Servers) start(ctx context.Context, names []string) error {
	var proxies strings.Builder
	for _, w := range s.ways {
		_, _ = fmt.Fprintln(&proxies, w.inner, w.address)
	}
	if err := s.set.Start(ctx, servers.KafkaConfig{Proxies: proxies.String()}, names...); err != nil {
		return err
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
func (s *Servers) brokerHost() string { return s.set.Host(s.brokerName) }

// environment is servers.Environment.
func environment(extra ...string) []string { return servers.Environment(extra...) }

// Address returns a server's URL, or Kafka's host and port.
func (s *Servers) Address(name string) string { return s.set.Address(name) }

// restartBroker stops the broker, by SIGKILL or by a clean shutdown, and starts it again. It returns when the
// broker answers.
func (s *Servers) restartBroker(ctx context.Context, kill bool) error {
	s.broker.Lock()
	defer s.broker.Unlock()
	stop := func() error { return s.set.Down(ctx, s.brokerName) }
	if kill {
		stop = func() error { return s.set.Kill(ctx, s.brokerName) }
	}
	if err := stop(); err != nil {
		return err
	}
	return s.set.Up(ctx, s.brokerName)
}

// Close stops the servers and removes their data.
func (s *Servers) Close() error {
	for _, w := range s.ways {
		w.close()
	}
	return s.set.Close()
}
