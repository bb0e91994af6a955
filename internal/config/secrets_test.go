package config_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/config"
)

func TestSecretsComeFromFiles(t *testing.T) {
	held := write(t, "postgres://u:"+secret+"@db/shop\n")
	want := "postgres://u:" + secret + "@db/shop"
	c, err := load(t, []string{
		"POSTROOM_DATABASE_URL_FILE=" + held, "POSTROOM_KAFKA_SASL_PASSWORD_FILE=" + held,
		"POSTROOM_AMQP_URL_FILE=" + held,
	})
	require.NoError(t, err)
	require.Equal(t, want, c.Sources[0].DatabaseURL.Reveal())
	require.Equal(t, want, c.Sink.AMQP.URL.Reveal())
	require.Equal(t, want, c.Sink.Kafka.SASL.Password.Reveal())

	yaml := write(t, "sources: [{database_url_file: '"+held+"'}]\nsink: {kafka: {sasl: {password_file: '"+held+"'}}}\n")
	c, err = load(t, nil, "--config", yaml)
	require.NoError(t, err)
	require.Equal(t, want, c.Sources[0].DatabaseURL.Reveal())
	require.Equal(t, want, c.Sink.Kafka.SASL.Password.Reveal())

	c, err = load(t, []string{"POSTROOM_DATABASE_URL=sqlite:a.db"}, "--config", yaml)
	require.NoError(t, err)
	require.Equal(t, "sqlite:a.db", c.Sources[0].DatabaseURL.Reveal(), "the environment beats the file's file")
}

func TestSecretFilesThatCannotBeUsedAreNamed(t *testing.T) {
	empty := write(t, " \n")
	for name, c := range map[string]struct {
		environ []string
		want    string
	}{
		"missing": {
			[]string{"POSTROOM_DATABASE_URL_FILE=/no/such/file"},
			"POSTROOM_DATABASE_URL_FILE: the file cannot be read: /no/such/file: no such file",
		},
		"empty": {
			[]string{"POSTROOM_DATABASE_URL_FILE=" + empty},
			"POSTROOM_DATABASE_URL_FILE: the file " + empty + " is empty",
		},
		"both": {
			[]string{"POSTROOM_AMQP_URL=amqp://h", "POSTROOM_AMQP_URL_FILE=" + empty},
			"POSTROOM_AMQP_URL and POSTROOM_AMQP_URL_FILE are both set",
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := load(t, c.environ, "--kafka-brokers", "a")
			require.ErrorContains(t, err, c.want)
			check := cfg.CheckRun()
			if check != nil && name != "both" {
				require.NotContains(t, check.Error(), "no database", "it was told already")
			}
		})
	}
}

func TestAPasswordInAFlagWarnsOnceAndNamesTheVariables(t *testing.T) {
	c, err := load(t, nil, "--database-url", "postgres://u:"+secret+"@db/shop")
	require.NoError(t, err)
	require.Len(t, c.Exposed, 1)
	require.Contains(t, c.Exposed[0], "POSTROOM_DATABASE_URL_FILE")
	require.NotContains(t, c.Exposed[0], secret)

	for _, args := range [][]string{{"--database-url", "postgres://u@db/shop"}, {"--database-url", "sqlite:a.db"}} {
		c, err = load(t, []string{"POSTROOM_AMQP_URL=amqp://u:" + secret + "@mq"}, args...)
		require.NoError(t, err)
		require.Empty(t, c.Exposed)
	}
}

func TestASecretIsNotPrinted(t *testing.T) {
	s := struct{ S config.Secret }{secret}
	encoded, err := json.Marshal(s)
	require.NoError(t, err)
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "s", s.S, "all", s)
	for _, text := range []string{fmt.Sprintf("%v %+v %#v %s %q", s, s, s, s.S, s.S), string(encoded), log.String()} {
		require.NotContains(t, text, secret)
	}
}
