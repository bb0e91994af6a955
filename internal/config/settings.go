package config

import (
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// Group says which commands need a setting.
type Group int

// Groups of settings.
const (
	General   Group = iota // every command that reads a configuration
	Database               // commands that open a source
	Running                // relay run
	Broker                 // commands that ask Kafka
	Consuming              // commands that look into a consumer's database
	Examining              // relay doctor, relay inbox doctor
)

// setting is one value of the configuration, under all its names.
type setting struct {
	key    string // in YAML; source.x stands for sources[i].x
	flag   string // empty: not on the command line
	env    string
	group  Group
	usage  string
	toggle bool // true or false
	secret bool // may be kept in a file: env + _FILE, key + _file
	hidden bool // left out of --help: rejected in this version
}

const envPrefix = "POSTROOM_"

// settings is the contract's table of flags, variables and YAML keys.
func settings() []setting {
	return []setting{
		{key: "log.level", flag: "log-level", env: "LOG_LEVEL", group: General,
			usage: "`level` of the log: debug, info, warn or error (default info)"},
		{key: "log.format", flag: "log-format", env: "LOG_FORMAT", group: General,
			usage: "`format` of the log: text or json (default text)"},

		{key: "source.database_url", flag: "database-url", env: "DATABASE_URL", group: Database, secret: true,
			usage: "`URL` of the database: postgres://, mysql://, mariadb://, sqlite:///absolute or sqlite:relative"},
		{
			key: "source.name", flag: "source", env: "SOURCE", group: Database,
			usage: "`name` of the source (default default); the first run writes it into the lease table; " +
				"if the file lists several sources, the one to use",
		},
		{key: "source.table_prefix", flag: "table-prefix", env: "TABLE_PREFIX", group: Database,
			usage: "`prefix` of the tables' names"},
		{key: "source.schema", flag: "schema", env: "SCHEMA", group: Database,
			usage: "PostgreSQL `schema` of the tables (default: by search_path)"},

		{
			key: "inbox.database_url", flag: "inbox-database-url", env: "INBOX_DATABASE_URL",
			group: Consuming, secret: true, usage: "`URL` of a consumer's database, to read its inbox",
		},
		{key: "inbox.table_prefix", flag: "inbox-table-prefix", env: "INBOX_TABLE_PREFIX", group: Consuming,
			usage: "`prefix` of the inbox tables' names"},
		{key: "inbox.schema", flag: "inbox-schema", env: "INBOX_SCHEMA", group: Consuming,
			usage: "PostgreSQL `schema` of the inbox tables (default: by search_path)"},

		{key: "sink.kafka.brokers", flag: "kafka-brokers", env: "KAFKA_BROKERS", group: Broker,
			usage: "Kafka's bootstrap `addresses`: host:port[,host:port…]"},
		{key: "sink.kafka.create_topics", flag: "create-topics", env: "CREATE_TOPICS", group: Running, toggle: true,
			usage: "create a topic that does not exist, with the broker's defaults"},
		{
			key: "sink.kafka.max_message_bytes", flag: "kafka-max-message-bytes", env: "KAFKA_MAX_MESSAGE_BYTES",
			group: Running,
			usage: "size of the largest record in `bytes`, like max.message.bytes of the topics (default 1048588)",
		},
		{key: "sink.kafka.tls.enabled", env: "KAFKA_TLS_ENABLED", group: Broker, toggle: true},
		{key: "sink.kafka.tls.ca_file", env: "KAFKA_TLS_CA_FILE", group: Broker},
		{key: "sink.kafka.tls.cert_file", env: "KAFKA_TLS_CERT_FILE", group: Broker},
		{key: "sink.kafka.tls.key_file", env: "KAFKA_TLS_KEY_FILE", group: Broker},
		{key: "sink.kafka.sasl.mechanism", env: "KAFKA_SASL_MECHANISM", group: Broker},
		{key: "sink.kafka.sasl.username", env: "KAFKA_SASL_USERNAME", group: Broker},
		{key: "sink.kafka.sasl.password", env: "KAFKA_SASL_PASSWORD", group: Broker, secret: true},
		{key: "sink.amqp.url", flag: "amqp-url", env: "AMQP_URL", group: Running, secret: true,
			usage: "`URL` of RabbitMQ, instead of Kafka: amqp://user:password@host:port/vhost, or amqps://"},

		{key: "delivery.mode", flag: "mode", env: "MODE", group: Running,
			usage: "delivery `mode`: at-least-once or exactly-once (default at-least-once)"},
		{
			key: "delivery.on_rejection", flag: "on-rejection", env: "ON_REJECTION", group: Running,
			usage: "`policy` for an event that the broker rejects: block-key parks it and later events of its key, " +
				"skip parks only this event, halt stops the source (default block-key)",
		},
		{key: "delivery.topics", flag: "topics", env: "TOPICS", group: Running,
			usage: "allowed `topics`: name[,prefix*…]; events of other topics are rejected (default all topics)"},
		{key: "delivery.lease_ttl", flag: "lease-ttl", env: "LEASE_TTL", group: Running,
			usage: "`time` without a renewal after which another relay takes over (default 5s)"},
		{key: "delivery.poll_max", flag: "poll-max", env: "POLL_MAX", group: Running,
			usage: "longest `time` between two reads while events arrive (default 25ms)"},
		{key: "delivery.archive", flag: "archive", env: "ARCHIVE", group: Running, toggle: true,
			usage: "keep delivered events in outbox_archive, for relay replay and relay trace"},
		{key: "delivery.archive_for", flag: "archive-for", env: "ARCHIVE_FOR", group: Running,
			usage: "`time` to keep an event in the archive, for example 36h or 30d (default 7d)"},
		{
			key: "doctor.ignore", flag: "ignore", env: "DOCTOR_IGNORE", group: Examining,
			usage: "accepted `findings`: id[,id subject…], for example 'topics.replicas topic orders'; " +
				"they are shown but do not count",
		},
		{key: "admin.listen", flag: "admin", env: "ADMIN", group: Running, hidden: true,
			usage: "`address` of the admin server; comes in a later version"},
	}
}

func (s setting) envName() string { return envPrefix + s.env }

// yamlName is the key as a user writes it.
func (s setting) yamlName() string { return yamlName(s.key) }

func yamlName(key string) string {
	if rest, ok := strings.CutPrefix(key, "source."); ok {
		return "sources[0]." + rest
	}
	return key
}

// anyOf lists all ways to set it, for the error that it is missing.
func (s setting) anyOf() string {
	names := []string{s.envName()}
	if s.flag != "" {
		names = []string{"--" + s.flag, s.envName()}
	}
	if s.secret {
		names = append(names, s.envName()+"_FILE")
	}
	return strings.Join(names, ", ") + " or " + s.yamlName() + " in the file of --config"
}

func find(key string) setting {
	for _, s := range settings() {
		if s.key == key {
			return s
		}
	}
	panic("config: no setting " + key) // a mistake in this package; every key is read by the tests
}

// AddFlags registers the flags of the groups, and --config.
func AddFlags(flags *pflag.FlagSet, groups ...Group) {
	flags.String(configFlag, "", "YAML `file` with the configuration (or "+configEnv+")")
	for _, s := range settings() {
		if s.flag == "" || !slices.Contains(groups, s.group) {
			continue
		}
		usage := s.usage + " (" + s.envName() + ")"
		if s.toggle {
			flags.Bool(s.flag, false, usage)
		} else {
			flags.String(s.flag, "", usage)
		}
		if s.hidden {
			_ = flags.MarkHidden(s.flag) // fails for an unknown flag only
		}
	}
}

const (
	configFlag = "config"
	configEnv  = envPrefix + "CONFIG"
)
