package config_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/config"
	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaykafka"
)

const secret = "hunter2xyz"

// load parses args as a command with every flag does.
func load(t *testing.T, environ []string, args ...string) (*config.Config, error) {
	t.Helper()
	flags := pflag.NewFlagSet("run", pflag.ContinueOnError)
	config.AddFlags(flags, config.General, config.Database, config.Broker, config.Running, config.Consuming)
	require.NoError(t, flags.Parse(args))
	return config.Load(flags, environ)
}

// write writes a file and returns its path.
func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "relay.yaml")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func TestFlagBeatsEnvironmentBeatsFileBeatsDefault(t *testing.T) {
	file := write(t, "delivery: {lease_ttl: 3s, poll_max: 30ms}\nsources: [{name: from-file, database_url: "+
		"'sqlite:file.db', table_prefix: f_}]\n")
	environ := []string{"POSTROOM_LEASE_TTL=2s", "POSTROOM_SOURCE=from-env", "POSTROOM_CONFIG=" + file}
	c, err := load(t, environ, "--lease-ttl", "1s")
	require.NoError(t, err)
	require.Equal(t, time.Second, c.Delivery.LeaseTTL, "flag")
	require.Equal(t, "from-env", c.Sources[0].Name, "environment")
	require.Equal(t, 30*time.Millisecond, c.Delivery.PollMax, "file")
	require.Equal(t, "f_", c.Sources[0].TablePrefix, "file")
	require.Equal(t, relay.AtLeastOnce, c.Delivery.Mode, "default")
	require.Equal(t, relay.BlockKey, c.Delivery.OnRejection, "default")
	require.Empty(t, c.Delivery.Topics, "default")
	require.Equal(t, "text", c.Log.Format, "default")
}

func TestEveryFlagOfTheContractIsThere(t *testing.T) {
	flags := pflag.NewFlagSet("run", pflag.ContinueOnError)
	config.AddFlags(flags, config.General, config.Database, config.Broker, config.Running)
	for _, name := range []string{
		"database-url", "source", "table-prefix", "schema", "kafka-brokers", "amqp-url", "mode", "on-rejection",
		"topics",
		"lease-ttl", "poll-max", "archive", "archive-for", "create-topics", "admin", "config", "log-level",
		"log-format",
	} {
		require.NotNil(t, flags.Lookup(name), name)
	}
}

func TestEverySettingCanBeGivenByEnvironmentAndFile(t *testing.T) {
	byEnv, err := load(t, []string{
		"POSTROOM_DATABASE_URL=sqlite:a.db", "POSTROOM_SOURCE=s", "POSTROOM_TABLE_PREFIX=p_", "POSTROOM_SCHEMA=x",
		"POSTROOM_KAFKA_BROKERS=a:1, b:2", "POSTROOM_CREATE_TOPICS=true", "POSTROOM_KAFKA_MAX_MESSAGE_BYTES=2000000",
		"POSTROOM_AMQP_URL=amqp://h",
		"POSTROOM_KAFKA_TLS_ENABLED=true", "POSTROOM_KAFKA_TLS_CA_FILE=ca", "POSTROOM_KAFKA_TLS_CERT_FILE=cert",
		"POSTROOM_KAFKA_TLS_KEY_FILE=key",
		"POSTROOM_KAFKA_SASL_MECHANISM=plain", "POSTROOM_KAFKA_SASL_USERNAME=u",
		"POSTROOM_KAFKA_SASL_PASSWORD=" + secret,
		"POSTROOM_MODE=exactly-once", "POSTROOM_ON_REJECTION=skip", "POSTROOM_TOPICS=orders, audit.*",
		"POSTROOM_LEASE_TTL=1s", "POSTROOM_POLL_MAX=5ms",
		"POSTROOM_INBOX_DATABASE_URL=sqlite:i.db", "POSTROOM_INBOX_TABLE_PREFIX=i_", "POSTROOM_INBOX_SCHEMA=y",
		"POSTROOM_ARCHIVE=true", "POSTROOM_ARCHIVE_FOR=2.5d",
		"POSTROOM_DOCTOR_IGNORE=topics.replicas topic orders, vacuum.held",
		"POSTROOM_LOG_LEVEL=debug", "POSTROOM_LOG_FORMAT=json",
	})
	require.NoError(t, err)
	byFile, err := load(t, nil, "--config", write(t, `
sources:
  - {database_url: 'sqlite:a.db', name: s, table_prefix: p_, schema: x}
sink:
  kafka:
    brokers: ['a:1', 'b:2']
    create_topics: true
    max_message_bytes: 2000000
    tls: {enabled: true, ca_file: ca, cert_file: cert, key_file: key}
    sasl: {mechanism: plain, username: u, password: `+secret+`}
  amqp: {url: 'amqp://h'}
delivery: {mode: exactly-once, on_rejection: skip, topics: [orders, audit.*], lease_ttl: 1s, poll_max: 5ms,
  archive: true, archive_for: 60h}
inbox: {database_url: 'sqlite:i.db', table_prefix: i_, schema: y}
doctor: {ignore: [topics.replicas topic orders, vacuum.held]}
log: {level: debug, format: json}
`))
	require.NoError(t, err)
	require.Equal(t, byFile.Sink, byEnv.Sink)
	require.Equal(t, byFile.Delivery, byEnv.Delivery)
	require.Equal(t, byFile.Log, byEnv.Log)
	require.Equal(t, byFile.Inbox, byEnv.Inbox)
	require.Equal(t, byFile.Doctor, byEnv.Doctor)
	require.Equal(t, []string{"topics.replicas topic orders", "vacuum.held"}, byEnv.Doctor.Ignore)
	require.Equal(t, "i_", byEnv.Inbox.TablePrefix)
	require.Equal(t, relay.ExactlyOnce, byEnv.Delivery.Mode)
	require.Equal(t, 60*time.Hour, byEnv.Delivery.ArchiveFor)
	require.True(t, byEnv.Delivery.Archive)
	require.Equal(t, relay.Skip, byEnv.Delivery.OnRejection)
	require.Equal(t, []string{"orders", "audit.*"}, byEnv.Delivery.Topics)
	require.Equal(t, byFile.Sources[0].DatabaseURL, byEnv.Sources[0].DatabaseURL)
	require.Equal(t, byFile.Sources[0].Schema, byEnv.Sources[0].Schema)
	require.Equal(t, []string{"a:1", "b:2"}, byEnv.Sink.Kafka.Brokers)
	require.Equal(t, slog.LevelDebug, byEnv.Log.Level)
	require.True(t, byEnv.Sink.Kafka.CreateTopics)
	require.EqualValues(t, 2_000_000, byEnv.Sink.Kafka.MaxMessageBytes)
	require.Equal(t, secret, byEnv.Sink.Kafka.SASL.Password.Reveal())
}

func TestMistakesAreAllToldAtOnceUnderTheNamesTheUserWrote(t *testing.T) {
	file := write(t, "delivery:\n  lease_tll: 5s\n  mode: twice\n  topics: [a, b*c, c d]\nsink: {kafka: {broker: "+
		"x}}\nlog: loud\nfoo: 1\n")
	c, err := load(
		t, []string{"POSTROOM_POLL_MAX=7"}, "--config", file, "--lease-ttl", "1h", "--log-format", "xml", "--admin",
		":80", "--on-rejection", "ignore", "--archive-for", "1y", "--database-url", "shop", "--table-prefix", "9",
	)
	err = errors.Join(err, c.CheckRun())
	for _, want := range []string{
		`"c d": Kafka's topics have letters, digits, dots, underscores and hyphens; commas go between topics`,
		"delivery.lease_tll in " + file + ": no such setting: did you mean lease_ttl?",
		"sink.kafka.broker in " + file + ": no such setting: did you mean brokers?",
		"log in " + file + ": want a section with format, level",
		"foo in " + file + ": no such setting: there are admin, delivery, doctor, inbox, log, sink, sources",
		"delivery.mode in " + file + `: "twice" is not known: use at-least-once, exactly-once`,
		"delivery.topics in " + file + `: "b*c": a * may only be the last character`,
		`POSTROOM_POLL_MAX: "7" is no duration: write a number with its unit, for example 25ms`,
		"--lease-ttl: 1h0m0s is out of range: want 500ms to 10m0s",
		`--log-format: "xml" is not known: use text, json`,
		`--on-rejection: "ignore" is not known: use block-key, skip, halt`,
		`--archive-for: "1y" is no length of time: write a number with its unit, for example 36h or 7d`,
		"--archive-for: the archive is off: set --archive, POSTROOM_ARCHIVE or delivery.archive in the file of " +
			"--config too",
		"--admin: the admin server is not in this version",
		"--database-url: database URL has no scheme",
		"no sink: set --kafka-brokers, POSTROOM_KAFKA_BROKERS or sink.kafka.brokers",
	} {
		require.ErrorContains(t, err, want)
	}
}

func TestTheInboxIsCheckedWhereOneIsGiven(t *testing.T) {
	for url, want := range map[string]string{
		"": "", "sqlite:i.db": "", "db2://i": "POSTROOM_INBOX_DATABASE_URL: database URL has the scheme \"db2\"",
	} {
		c, err := load(t, []string{"POSTROOM_INBOX_DATABASE_URL=" + url})
		if err = errors.Join(err, c.CheckInbox()); want == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, want)
	}
	c, err := load(t, nil, "--inbox-database-url", "sqlite:i.db", "--inbox-schema", "y")
	require.ErrorContains(t, errors.Join(err, c.CheckInbox()), "only PostgreSQL has schemas")
}

func TestSourcesAreChecked(t *testing.T) {
	for name, c := range map[string]struct{ file, want string }{
		"no database": {"log: {level: info}", "no database: set --database-url, POSTROOM_DATABASE_URL, " +
			"POSTROOM_DATABASE_URL_FILE or sources[0].database_url in the file of --config"},
		"one of two has none": {
			"sources: [{name: a, database_url: 'sqlite:a.db'}, {name: b}]", "no database: set sources[1].database_url",
		},
		"two of one name": {
			"sources: [{database_url: 'sqlite:a.db'}, {database_url: 'sqlite:b.db'}]",
			`sources[0].name and sources[1].name are both "default"`,
		},
		"one table twice": {"sources: [{name: a, database_url: 'sqlite:a.db', table_prefix: x_}, {name: b, " +
			"database_url: 'sqlite:a.db', table_prefix: x_}]", "sources[0] and sources[1] are the same table"},
		"a wrong URL in the second": {
			"sources: [{name: a, database_url: 'sqlite:a.db'}, {name: b, database_url: 'db2://b'}]",
			"sources[1].database_url: database URL has the scheme \"db2\"",
		},
		"a wrong prefix": {
			"sources: [{database_url: 'sqlite:a.db', table_prefix: 'A-'}]", `source "default": table prefix "A-"`,
		},
		"a schema without sense": {
			"sources: [{database_url: 'sqlite:a.db', schema: x}]", "only PostgreSQL has schemas",
		},
		"a key that no source has": {"sources: [{database: 'sqlite:a.db'}]", "sources[0].database in "},
		"no list":                  {"sources: {database_url: 'sqlite:a.db'}", "want a list"},
		"a list of texts":          {"sources: ['sqlite:a.db']", "sources[0] in "},
		"a section for a value":    {"sources: [{name: {a: b}}]", "want a single value"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := load(t, nil, "--config", write(t, c.file))
			require.ErrorContains(t, errors.Join(err, cfg.CheckSources()), c.want)
		})
	}
}

func TestSeveralSourcesComeByFileOnly(t *testing.T) {
	file := write(t, "sources:\n  - {name: a, database_url: 'sqlite:a.db'}\n  - {name: b, database_url: "+
		"'sqlite:b.db', table_prefix: b_}\n")
	c, err := load(t, nil, "--config", file)
	require.NoError(t, errors.Join(err, c.CheckSources()))
	require.Len(t, c.Sources, 2)
	require.Equal(t, "sqlite:b.db", c.Sources[1].DatabaseURL.Reveal())
	require.Equal(t, "b_", c.Sources[1].TablePrefix)

	c, err = load(t, nil, "--config", file, "--source", "b")
	require.NoError(t, errors.Join(err, c.CheckSources()))
	require.Len(t, c.Sources, 1, "one of them is chosen by its name")
	require.Equal(t, "sqlite:b.db", c.Sources[0].DatabaseURL.Reveal())
	_, err = load(t, []string{"POSTROOM_SOURCE=c"}, "--config", file)
	require.ErrorContains(t, err, `POSTROOM_SOURCE: the file has no source "c": there are a, b`)

	_, err = load(t, []string{"POSTROOM_SCHEMA=x"}, "--config", file, "--database-url", "sqlite:c.db")
	require.ErrorContains(t, err, "--database-url: the file lists 2 sources")
	require.ErrorContains(t, err, "POSTROOM_SCHEMA: the file lists 2 sources")
}

func TestAMisspeltVariableIsWarnedOf(t *testing.T) {
	c, err := load(
		t, []string{"POSTROOM_KAFKA_BROKER=a", "POSTROOM_TEST_POSTGRES_URL=b", "OTHER=c", "POSTROOM_SOURCE="},
	)
	require.NoError(t, err)
	require.Len(t, c.Warnings, 1)
	require.Contains(t, c.Warnings[0], "POSTROOM_KAFKA_BROKERS?")
	require.Equal(t, "default", c.Sources[0].Name, "an empty variable is as good as none")
}

func TestAFileThatCannotBeReadIsNamed(t *testing.T) {
	_, err := load(t, nil, "--config", "/no/such/relay.yaml")
	require.ErrorContains(t, err, "there is no file /no/such/relay.yaml")
	broken := write(t, "sources:\n  - database_url: 'postgres://u:"+secret+"@db/shop\n    name: x\n  - [\n")
	_, err = load(t, nil, "--config", broken)
	require.ErrorContains(t, err, "--config: "+broken+" cannot be read as YAML")
	require.NotContains(t, err.Error(), secret)
	_, err = load(t, []string{"POSTROOM_CONFIG=/no/such/relay.yaml"})
	require.ErrorContains(t, err, "POSTROOM_CONFIG: there is no file /no/such/relay.yaml",
		"the name is the one that the user wrote")
	_, err = load(t, []string{"POSTROOM_CONFIG=" + broken})
	require.ErrorContains(t, err, "POSTROOM_CONFIG: "+broken+" cannot be read as YAML")
	_, err = load(t, []string{"POSTROOM_CONFIG=" + broken}, "--config", "/no/such/relay.yaml")
	require.ErrorContains(t, err, "--config: there is no file /no/such/relay.yaml", "the flag wins")
	list := write(t, "- postgres://u:"+secret+"@db\n")
	_, err = load(t, nil, "--config", list)
	require.ErrorContains(t, err, "cannot be read as YAML")
	require.NotContains(t, err.Error(), secret)
}

func TestKafkaSecurityIsChecked(t *testing.T) {
	for name, c := range map[string]struct{ kafka, want string }{
		"files without TLS": {"tls: {ca_file: ca.pem}", "TLS is off"},
		"a CA that is missing": {
			"tls: {enabled: true, ca_file: /no/such/ca.pem}", "ca_file: /no/such/ca.pem: no such file",
		},
		"a CA that is none":   {"tls: {enabled: true, ca_file: " + write(t, "x") + "}", "no certificate in PEM"},
		"a certificate alone": {"tls: {enabled: true, cert_file: a}", "belong together"},
		"an unknown mechanism": {
			"sasl: {mechanism: kerberos}", `"kerberos" is not known: use plain, scram-sha-256, scram-sha-512`,
		},
		"a user alone":            {"sasl: {username: u}", "mechanism is missing"},
		"a mechanism alone":       {"sasl: {mechanism: plain}", "needs username and password"},
		"a toggle that is no one": {"create_topics: perhaps", "want true or false"},
		"an empty broker":         {"brokers: ['a', '']", "an empty element"},
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.HasPrefix(c.kafka, "brokers") {
				c.kafka = "brokers: a\n    " + c.kafka
			}
			cfg, err := load(
				t, nil, "--database-url", "sqlite:a.db", "--config", write(t, "sink:\n  kafka:\n    "+c.kafka+"\n"),
			)
			require.ErrorContains(t, errors.Join(err, cfg.CheckRun()), c.want)
		})
	}
}

func TestOneSinkThatThisVersionHasMustBeNamed(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"both": {
			[]string{"--kafka-brokers", "a", "--amqp-url", "amqp://h"},
			"two sinks are named, --kafka-brokers and --amqp-url",
		},
		"none":                              {nil, "no sink: set --kafka-brokers"},
		"none, and RabbitMQ's is named too": {nil, "for RabbitMQ, --amqp-url, POSTROOM_AMQP_URL"},
		"amqp is right":                     {[]string{"--amqp-url", "amqps://u:" + secret + "@h/v"}, ""},
		"amqp with topics of its own":       {[]string{"--amqp-url", "amqp://h", "--topics", "a:b,ü*"}, ""},
		"amqp with a wrong URL": {
			[]string{"--amqp-url", "u:" + secret + "@h"}, "--amqp-url: it does not begin with amqp:// or amqps://",
		},
		"amqp exactly once": {
			[]string{"--amqp-url", "amqp://h", "--mode", "exactly-once"},
			"--mode: exactly-once mode needs Kafka's transactions, and RabbitMQ has none",
		},
		"amqp with a setting of Kafka": {
			[]string{"--amqp-url", "amqp://h", "--create-topics"},
			"--create-topics: it is for Kafka, and --amqp-url names RabbitMQ",
		},
		"kafka is right": {[]string{"--kafka-brokers", "a"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := load(t, nil, append(c.args, "--database-url", "sqlite:a.db")...)
			err = errors.Join(err, cfg.CheckRun())
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), secret)
		})
	}
}

// The limits stand in package relay; here they are only told earlier.
func TestLimitsAreThoseOfTheRelay(t *testing.T) {
	for _, c := range []struct {
		flag, least, below, most, above string
	}{
		{"--lease-ttl", "500ms", "499ms", "10m", "10m1ms"},
		{"--poll-max", "1ms", "999us", "250ms", "251ms"},
		{"--archive-for", "1m", "59s", "", ""},
	} {
		for value, good := range map[string]bool{c.least: true, c.below: false, c.most: true, c.above: false} {
			if value == "" {
				continue // the relay has no such limit
			}
			_, err := load(t, nil, c.flag, value)
			require.Equal(t, good, err == nil, "%s %s", c.flag, value)
			d, parseErr := time.ParseDuration(value)
			require.NoError(t, parseErr)
			rc := relay.Config{}
			switch c.flag {
			case "--lease-ttl":
				rc.LeaseTTL = d
			case "--poll-max":
				rc.PollMax = d
			case "--archive-for":
				rc.Archive, rc.ArchiveFor = true, d
			}
			_, err = relay.New(rc) // fails for other fields too
			field := map[string]string{
				"--lease-ttl": "LeaseTTL", "--poll-max": "PollMax", "--archive-for": "ArchiveFor",
			}[c.flag]
			require.Equal(t, good, !strings.Contains(err.Error(), field), "relay.Config.%s %s", field, value)
		}
	}
}

func TestTheLimitOfASizeIsTheSinks(t *testing.T) {
	for _, each := range []struct {
		bytes string
		ok    bool
	}{
		{"1023", false}, {"1024", true}, {"104857600", true}, {"104857601", false}, {"99999999999", false},
		{"2MB", false},
	} {
		c, err := load(t, nil, "--kafka-max-message-bytes", each.bytes)
		if !each.ok {
			require.ErrorContains(t, err, "--kafka-max-message-bytes", each.bytes)
			continue
		}
		require.NoError(t, err)
		_, err = relaykafka.New(
			relaykafka.Config{Brokers: []string{"h:1"}, BatchMaxBytes: c.Sink.Kafka.MaxMessageBytes},
		)
		require.NoError(t, err)
	}
}
