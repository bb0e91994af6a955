package config

import (
	"fmt"
	"strings"
	"time"

	"github.com/knadh/koanf/v2"

	"github.com/postroom/postroom/internal/dbopen"
	"github.com/postroom/postroom/relay"
)

// Limits of relay.Config and relaykafka.Config. They are repeated here so that all mistakes
// are reported at once. A test compares them with those packages.
const (
	minLeaseTTL, maxLeaseTTL = 500 * time.Millisecond, 10 * time.Minute
	minPollMax, maxPollMax   = time.Millisecond, 250 * time.Millisecond

	minArchiveFor, maxArchiveFor = time.Minute, 100 * 365 * 24 * time.Hour

	minMessageBytes, maxMessageBytes = 1024, 100 << 20
)

// config reads every setting.
func (l *loader) config() *Config {
	l.origins = origins{}
	c := &Config{
		Sources: l.readSources(),
		Sink: Sink{
			Kafka: Kafka{
				Brokers:      l.list("sink.kafka.brokers"),
				CreateTopics: l.toggle("sink.kafka.create_topics"),

				MaxMessageBytes: l.bytes("sink.kafka.max_message_bytes", minMessageBytes, maxMessageBytes),
				TLS: TLS{
					Enabled:  l.toggle("sink.kafka.tls.enabled"),
					CAFile:   l.text("sink.kafka.tls.ca_file", ""),
					CertFile: l.text("sink.kafka.tls.cert_file", ""),
					KeyFile:  l.text("sink.kafka.tls.key_file", ""),
				},
				SASL: SASL{
					Mechanism: oneOf(l, "sink.kafka.sasl.mechanism", "", "plain", "scram-sha-256", "scram-sha-512"),
					Username:  l.text("sink.kafka.sasl.username", ""),
					Password:  l.secret("sink.kafka.sasl.password"),
				},
			},
			AMQP: AMQP{URL: l.secret("sink.amqp.url")},
		},
		Delivery: Delivery{
			Mode:        oneOf(l, "delivery.mode", relay.Modes()...),
			OnRejection: oneOf(l, "delivery.on_rejection", relay.Policies()...),
			Topics:      l.list("delivery.topics"),
			LeaseTTL:    l.duration("delivery.lease_ttl", 5*time.Second, minLeaseTTL, maxLeaseTTL),
			PollMax:     l.duration("delivery.poll_max", 25*time.Millisecond, minPollMax, maxPollMax),
			Archive:     l.toggle("delivery.archive"),
			ArchiveFor:  l.age("delivery.archive_for", minArchiveFor, maxArchiveFor),
		},
		Inbox: Inbox{
			DatabaseURL: l.secret("inbox.database_url"),
			TablePrefix: l.text("inbox.table_prefix", ""),
			Schema:      l.text("inbox.schema", ""),
		},
		Doctor:      Doctor{Ignore: l.list("doctor.ignore")},
		Log:         Log{Level: l.level("log.level"), Format: oneOf(l, "log.format", "text", "json")},
		adminListen: l.text("admin.listen", ""),
	}
	l.warnOfPasswords(c)
	c.Warnings, c.origins = l.warnings, l.origins
	return c
}

const defaultSource = "default"

// readSources returns the one source of flags, environment and file, or the
// several of the file.
func (l *loader) readSources() []Source {
	one := Source{
		DatabaseURL: l.secret("source.database_url"),
		Name:        l.text("source.name", defaultSource),
		TablePrefix: l.text("source.table_prefix", ""),
		Schema:      l.text("source.schema", ""),
		key:         "sources[0]",
	}
	one.urlName = l.origins["source.database_url"]
	_, one.NameGiven = l.origins["source.name"]
	if len(l.sources) == 0 {
		return []Source{one}
	}
	for _, key := range []string{"source.database_url", "source.table_prefix", "source.schema"} {
		if name, given := l.origins[key]; given {
			l.add(
				"%s: the file lists %d sources, so it is not clear which one is meant: set it in the file", name,
				len(l.sources),
			)
		}
	}
	var all []Source
	for i, values := range l.sources {
		all = append(all, l.sourceOf(fmt.Sprintf("sources[%d]", i), values))
	}
	return l.chosen(all)
}

// chosen returns the file's sources that the command uses: all, or the one with the given
// name.
func (l *loader) chosen(all []Source) []Source {
	given, ok := l.origins["source.name"]
	if !ok {
		return all
	}
	name, names := l.text("source.name", ""), make([]string, len(all))
	for i, s := range all {
		if s.Name == name {
			return all[i : i+1]
		}
		names[i] = s.Name
	}
	l.add("%s: the file has no source %q: there are %s", given, name, strings.Join(names, ", "))
	return all
}

// sourceOf reads one source of several.
func (l *loader) sourceOf(key string, values map[string]any) Source {
	k := koanf.New(delimiter)
	for name, value := range values {
		_ = k.Set("source."+name, value) // fails only without a key
	}
	inner := &loader{
		problems: l.problems,
		origins:  origins{},
		layers: []layer{{values: k, name: func(s setting) string {
			return key + s.key[len("source"):]
		}}},
	}
	s := Source{
		DatabaseURL: inner.secret("source.database_url"),
		Name:        inner.text("source.name", defaultSource),
		TablePrefix: inner.text("source.table_prefix", ""),
		Schema:      inner.text("source.schema", ""),
		key:         key,
	}
	s.urlName = inner.origins["source.database_url"]
	_, s.NameGiven = inner.origins["source.name"]
	return s
}

// warnOfPasswords warns once about each flag that contains a password, because every user
// of the machine can read it in the list of processes.
func (l *loader) warnOfPasswords(c *Config) {
	given := map[string]Secret{
		"source.database_url": c.Sources[0].DatabaseURL, "sink.amqp.url": c.Sink.AMQP.URL,
		"inbox.database_url": c.Inbox.DatabaseURL,
	}
	for _, s := range settings() {
		url, ok := given[s.key]
		if ok && l.layers[0].values.Exists(s.key) && dbopen.HasPassword(url.Reveal()) {
			c.Exposed = append(c.Exposed, fmt.Sprintf(
				"the password in --%s can be read by every user of this machine: set %s, or %s_FILE to the name of a "+
					"file that holds it",
				s.flag, s.envName(), s.envName(),
			))
		}
	}
}
