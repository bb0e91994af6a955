package outbox_test

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/outbox"
)

func TestAddRefusesBadEventsBeforeAnySQL(t *testing.T) {
	headers := func(name, value string) outbox.Event {
		return outbox.Event{Topic: "t", Headers: map[string]string{name: value}}
	}
	for name, c := range map[string]struct {
		event outbox.Event
		want  error
	}{
		"no topic":                            {outbox.Event{Payload: []byte("x")}, outbox.ErrNoTopic},
		"a topic with a space":                {outbox.Event{Topic: "or ders"}, outbox.ErrInvalidTopic},
		"a topic with a slash":                {outbox.Event{Topic: "a/b"}, outbox.ErrInvalidTopic},
		"a topic with a letter Kafka has not": {outbox.Event{Topic: "bestätigt"}, outbox.ErrInvalidTopic},
		"the topic .":                         {outbox.Event{Topic: "."}, outbox.ErrInvalidTopic},
		"the topic ..":                        {outbox.Event{Topic: ".."}, outbox.ErrInvalidTopic},
		"a topic over the limit": {
			outbox.Event{Topic: strings.Repeat("t", outbox.MaxTopic+1)}, outbox.ErrTooLarge,
		},
		"a topic that is not UTF-8": {outbox.Event{Topic: "a\xff"}, outbox.ErrInvalidText},
		"a topic with a NUL":        {outbox.Event{Topic: "a\x00"}, outbox.ErrInvalidText},
		"a key over the limit": {
			outbox.Event{Topic: "t", Key: strings.Repeat("k", outbox.MaxKey+1)}, outbox.ErrTooLarge,
		},
		"a key over the limit in fewer characters": {
			outbox.Event{Topic: "t", Key: strings.Repeat("ü", outbox.MaxKey/2) + "k"}, outbox.ErrTooLarge,
		},
		"a key that is not UTF-8": {outbox.Event{Topic: "t", Key: "\xc3\x28"}, outbox.ErrInvalidText},
		"a key with a NUL":        {outbox.Event{Topic: "t", Key: "a\x00b"}, outbox.ErrInvalidText},
		"a type over the limit": {
			outbox.Event{Topic: "t", Type: strings.Repeat("y", outbox.MaxType+1)}, outbox.ErrTooLarge,
		},
		"a type with a line break":      {outbox.Event{Topic: "t", Type: "a\nb"}, outbox.ErrInvalidText},
		"a type with a carriage return": {outbox.Event{Topic: "t", Type: "a\rb"}, outbox.ErrInvalidText},
		"a type with a NUL":             {outbox.Event{Topic: "t", Type: "a\x00b"}, outbox.ErrInvalidText},
		"a type that is not UTF-8":      {outbox.Event{Topic: "t", Type: "\xff"}, outbox.ErrInvalidText},
		"a payload over the limit": {
			outbox.Event{Topic: "t", Payload: make([]byte, outbox.MaxPayload+1)}, outbox.ErrTooLarge,
		},
		"headers over the limit": {
			headers("h", strings.Repeat("v", outbox.MaxHeaders)), outbox.ErrTooLarge,
		},
		"headers whose escapes are too long": {
			headers("h", strings.Repeat("\x01", outbox.MaxHeaders/5)), outbox.ErrTooLarge,
		},
		"a header without a name":              {headers("", "v"), outbox.ErrInvalidHeader},
		"a header of Watermill's":              {headers("_watermill_message_uuid", "v"), outbox.ErrReservedHeader},
		"a header of ours":                     {headers("postroom_created_at", "v"), outbox.ErrReservedHeader},
		"a carriage return in a header's name": {headers("a\rb", "v"), outbox.ErrInvalidHeader},
		"a line feed in a header's value":      {headers("a", "v\nw"), outbox.ErrInvalidHeader},
		"a NUL in a header's value":            {headers("a", "v\x00w"), outbox.ErrInvalidHeader},
		"a header's name that is not UTF-8":    {headers("a\xff", "v"), outbox.ErrInvalidHeader},
		"a header's value that is not UTF-8":   {headers("a", "v\xff"), outbox.ErrInvalidHeader},
	} {
		t.Run(name, func(t *testing.T) {
			for _, d := range []outbox.Dialect{outbox.PostgreSQL, outbox.MySQL, outbox.SQLite} {
				ob, err := outbox.New(d, outbox.StrictKeyOrder())
				require.NoError(t, err)
				good := outbox.Event{Topic: "t", Key: "k"}
				err = ob.Add(t.Context(), untouchable{t}, good, c.event)
				require.ErrorIs(t, err, c.want)
				require.ErrorContains(t, err, "event 2 of 2")
				require.ErrorIs(t, ob.Check(c.event), c.want)
				require.NoError(t, ob.Check(good))
			}
		})
	}
}

func TestErrorsNameWhatIsWrongAndNeverThePayload(t *testing.T) {
	ob, err := outbox.New(outbox.SQLite, outbox.WithMaxPayload(8))
	require.NoError(t, err)
	err = ob.Check(outbox.Event{Topic: "orders", Payload: []byte("a secret")})
	require.NoError(t, err)
	err = ob.Check(outbox.Event{Topic: "orders", Payload: []byte("a secret!")})
	require.ErrorIs(t, err, outbox.ErrTooLarge)
	require.ErrorContains(t, err, `payload of 9 bytes for topic "orders", at most 8`)
	require.NotContains(t, err.Error(), "secret")
}

func TestAddRefusesANilTransaction(t *testing.T) {
	ob, err := outbox.New(outbox.PostgreSQL)
	require.NoError(t, err)
	for name, tx := range map[string]outbox.Tx{"nil": nil, "a nil *sql.Tx": (*sql.Tx)(nil)} {
		t.Run(name, func(t *testing.T) {
			require.ErrorIs(t, ob.Add(t.Context(), tx, outbox.Event{Topic: "t"}), outbox.ErrNoTransaction)
		})
	}
}

func TestWithAnyTopicAllowsWhatOtherBrokersDo(t *testing.T) {
	ob, err := outbox.New(outbox.PostgreSQL, outbox.WithAnyTopic())
	require.NoError(t, err)
	require.NoError(t, ob.Check(outbox.Event{Topic: "orders/placed #1 ü"}))
	require.ErrorIs(t, ob.Check(outbox.Event{Topic: strings.Repeat("ü", outbox.MaxTopic+1)}), outbox.ErrTooLarge)
	require.NoError(t, ob.Check(outbox.Event{Topic: strings.Repeat("ü", outbox.MaxTopic)}))
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	for name, c := range map[string]struct {
		dialect outbox.Dialect
		opts    []outbox.Option
		want    string
	}{
		"no dialect": {"", nil, `unknown dialect ""`},
		"an unknown dialect": {
			"oracle", nil, `unknown dialect "oracle": use "postgresql", "mysql" (also for MariaDB) or "sqlite"`,
		},
		"a prefix in capitals": {
			outbox.SQLite, []outbox.Option{outbox.WithTablePrefix("Shop_")}, `table prefix "Shop_"`,
		},
		"a prefix with a quote": {outbox.SQLite, []outbox.Option{outbox.WithTablePrefix(`a"b`)}, `table prefix`},
		"a prefix of 31 characters": {
			outbox.SQLite, []outbox.Option{outbox.WithTablePrefix(strings.Repeat("p", 31))}, "at most 30",
		},
		"a schema on MySQL": {
			outbox.MySQL, []outbox.Option{outbox.WithSchema("s")}, "only PostgreSQL has schemas",
		},
		"a schema with a dot":     {outbox.PostgreSQL, []outbox.Option{outbox.WithSchema("a.b")}, `schema "a.b"`},
		"a payload limit of zero": {outbox.SQLite, []outbox.Option{outbox.WithMaxPayload(0)}, "WithMaxPayload(0)"},
		"a payload limit above MaxPayload": {
			outbox.SQLite, []outbox.Option{outbox.WithMaxPayload(outbox.MaxPayload + 1)}, "which the table allows",
		},
	} {
		t.Run(name, func(t *testing.T) {
			ob, err := outbox.New(c.dialect, c.opts...)
			require.ErrorContains(t, err, c.want)
			require.Nil(t, ob)
		})
	}
}

func TestSettingsSayWhatNewWasTold(t *testing.T) {
	ob, err := outbox.New(outbox.PostgreSQL)
	require.NoError(t, err)
	require.Equal(t, outbox.Settings{Dialect: outbox.PostgreSQL, MaxPayload: outbox.MaxPayload}, ob.Settings())

	ob, err = outbox.New(outbox.PostgreSQL, outbox.WithTablePrefix("p_"), outbox.WithSchema("s"),
		outbox.WithMaxPayload(10), outbox.WithAnyTopic(), outbox.StrictKeyOrder())
	require.NoError(t, err)
	require.Equal(t, outbox.Settings{
		Dialect: outbox.PostgreSQL, TablePrefix: "p_", Schema: "s", StrictKeyOrder: true, MaxPayload: 10,
		AnyTopic: true,
	}, ob.Settings())
}

func TestJSON(t *testing.T) {
	b, err := outbox.JSON(map[string]int{"total": 42})
	require.NoError(t, err)
	require.JSONEq(t, `{"total":42}`, string(b))
	_, err = outbox.JSON(make(chan int))
	require.ErrorContains(t, err, "outbox: encode chan int as JSON")
}
