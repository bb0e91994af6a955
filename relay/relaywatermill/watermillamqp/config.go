package watermillamqp

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// Config says which broker to publish to. Only URL is required: the zero value of every other
// field is its default.
type Config struct {
	// URL is amqp:// or amqps://user:password@host:port/vhost. With amqps the broker's certificate
	// is verified. The query may have the parameters of RabbitMQ's URIs: cacertfile, certfile,
	// keyfile, server_name_indication, auth_mechanism, heartbeat (seconds) and channel_max. Errors and
	// log lines never contain the password.
	URL string

	// TLS replaces what the URL says about certificates. Default nil.
	TLS *tls.Config

	// Name is the name of the connection in the broker's lists. Default: postroom.
	Name string

	// ConfirmTimeout is how long a message waits for its confirm. Then the connection is closed, and
	// its messages are published again: an outage. From 1 s; default 30 s. A quorum queue that
	// elects a leader confirms late, so a short time makes duplicates.
	ConfirmTimeout time.Duration

	// Channels is how many channels share the messages. From 1 to 256; default 8.
	Channels int

	// Lanes and Buffer are the fields of relaywatermill.Options, with their defaults.
	Lanes  int
	Buffer int
}

const (
	defaultConfirmTimeout = 30 * time.Second
	defaultChannels       = 8
	maxChannels           = 256
)

func (c Config) withDefaults() Config {
	if c.Name == "" {
		c.Name = "postroom"
	}
	if c.ConfirmTimeout == 0 {
		c.ConfirmTimeout = defaultConfirmTimeout
	}
	if c.Channels == 0 {
		c.Channels = defaultChannels
	}
	return c
}

func (c Config) validate() error {
	var errs []error
	if _, err := Address(c.URL); err != nil {
		errs = append(errs, fmt.Errorf("watermillamqp: Config.URL: %w", err))
	}
	if c.ConfirmTimeout < time.Second {
		errs = append(errs, fmt.Errorf(
			"watermillamqp: Config.ConfirmTimeout is %s: it must be at least 1s, or 0 for the default",
			c.ConfirmTimeout,
		))
	}
	if c.Channels < 1 || c.Channels > maxChannels {
		errs = append(errs, fmt.Errorf(
			"watermillamqp: Config.Channels is %d: it must be from 1 to %d, or 0 for the default",
			c.Channels, maxChannels,
		))
	}
	return errors.Join(errs...)
}

// Address returns the broker's address for messages, without user, password and query. An error does
// not quote the URL, because the URL may have a password.
func Address(url string) (address string, err error) {
	const form = "write amqp://user:password@host:5672/vhost, or amqps:// for TLS; " +
		"special characters in it are percent-encoded"
	if !strings.HasPrefix(url, "amqp://") && !strings.HasPrefix(url, "amqps://") {
		return "", errors.New("it does not begin with amqp:// or amqps://: " + form)
	}
	// A password that is not percent-encoded can end the host's part early. A part of it would then be in the address.
	_, rest, _ := strings.Cut(url, "://")
	if end := strings.IndexAny(rest, "/?#"); end >= 0 && strings.Contains(rest[end:], "@") {
		return "", errors.New("it has an @ behind the host: " + form)
	}
	uri, err := amqp091.ParseURI(url)
	if err != nil || uri.Port < 1 || uri.Port > 65535 {
		return "", errors.New("it is no AMQP URL: " + form)
	}
	address = uri.Scheme + "://" + net.JoinHostPort(uri.Host, strconv.Itoa(uri.Port))
	if uri.Vhost != "/" {
		address += "/" + uri.Vhost
	}
	return address, nil
}
