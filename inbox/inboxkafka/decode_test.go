package inboxkafka_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/inbox/inboxkafka"
)

// record has headers given as name, value, name, value, …
func record(value []byte, headers ...string) *kgo.Record {
	r := &kgo.Record{Topic: "orders", Partition: 1, Offset: 7, Value: value}
	for i := 0; i < len(headers); i += 2 {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: headers[i], Value: []byte(headers[i+1])})
	}
	return r
}

func TestFormatsAreRecognised(t *testing.T) {
	const structured = "application/cloudevents+json; charset=UTF-8"
	cases := []struct {
		name    string
		record  *kgo.Record
		id, typ string
		payload string // "nil": none
	}{
		{"Watermill's, as Postroom's relay writes it",
			record([]byte("v"), "_watermill_message_uuid", "u-1", "name", "order.placed"), "u-1", "order.placed", "v"},
		{"Watermill's before an id that is the event's own",
			record([]byte("v"), "id", "other", "_watermill_message_uuid", "u-1"), "u-1", "", "v"},
		{"the last of two headers", record([]byte("v"), "_watermill_message_uuid", "u-1", "_watermill_message_uuid",
			"u-2"), "u-2", "", "v"},
		{"a tombstone", record(nil, "_watermill_message_uuid", "u-1"), "u-1", "", "nil"},
		{"an empty value is no tombstone", record([]byte{}, "_watermill_message_uuid", "u-1"), "u-1", "", ""},
		{"a CloudEvent, binary", record([]byte(`{"n":1}`), "ce_specversion", "1.0", "ce_id", "5", "ce_source", "/shop",
			"ce_type", "placed", "content-type", "application/json"), "/shop 5", "placed", `{"n":1}`},
		{
			"a CloudEvent, structured, with JSON", record(
				[]byte(`{"specversion":"1.0","id":"5","source":"/shop","type":"placed","data":{"n": 1}}`),
				"content-type",
				structured),
			"/shop 5", "placed", `{"n": 1}`,
		},
		{
			"structured, with text",
			record([]byte(`{"id":"5","source":"/s","type":"t","datacontenttype":"text/plain","data":"a\"b"}`),
				"content-type", structured),
			"/s 5", "t", `a"b`,
		},
		{
			"structured, with a JSON string", record([]byte(
				`{"id":"5","source":"/s","type":"t","datacontenttype":"application/vnd.x+json","data":"ab"}`),
				"content-type",
				structured),
			"/s 5", "t", `"ab"`,
		},
		{
			"structured, with bytes", record([]byte(`{"id":"5","source":"/s","type":"t","data_base64":"AP8="}`),
				"content-type", structured),
			"/s 5", "t", "\x00\xff",
		},
		{"structured, without data", record([]byte(`{"id":"5","source":"/s","type":"t"}`), "content-type", structured),
			"/s 5", "t", "nil"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m, err := inboxkafka.Decode(c.record)
			require.NoError(t, err)
			require.Equal(t, c.id, m.ID)
			require.Equal(t, c.typ, m.Type)
			if c.payload == "nil" {
				require.Nil(t, m.Payload)
				return
			}
			require.NotNil(t, m.Payload)
			require.Equal(t, c.payload, string(m.Payload))
		})
	}
}

func TestAttributesOfAStructuredEventBecomeHeaders(t *testing.T) {
	m, err := inboxkafka.Decode(
		record([]byte(`{"specversion":"1.0","id":"5","source":"/s","type":"t","datacontenttype":"text/plain",`+
			`"traceparent":"00-ab","sampled":true,"n":3,"data":"x"}`),
			"content-type", "application/cloudevents+json", "own", "\xff"))
	require.NoError(t, err)
	require.Equal(t, map[string]string{
		"ce_specversion": "1.0", "ce_id": "5", "ce_source": "/s", "ce_type": "t", "ce_traceparent": "00-ab",
		"ce_sampled": "true", "ce_n": "3",
		"content-type": "text/plain", "own": "\xff",
	}, m.Headers)
}

// Hazard same-id-of-two-sources: two sources may both have an event 1.
func TestHazardIDsOfTwoSourcesDiffer(t *testing.T) {
	one, err := inboxkafka.Decode(record(nil, "ce_id", "1", "ce_source", "/shop"))
	require.NoError(t, err)
	other, err := inboxkafka.Decode(record(nil, "ce_id", "1", "ce_source", "/bank"))
	require.NoError(t, err)
	require.NotEqual(t, one.ID, other.ID)
}

func TestARecordThatIsNoMessageIsRefusedWithTheReason(t *testing.T) {
	const structured = "application/cloudevents+json"
	cases := []struct {
		name   string
		record *kgo.Record
		reason string
	}{
		{"no headers", record([]byte("v")), "HeaderID"},
		{"an empty id", record([]byte("v"), "_watermill_message_uuid", ""), "no message id"},
		{"a CloudEvent without a source", record(nil, "ce_id", "5"), "no source"},
		{"a CloudEvent without an id", record(nil, "ce_specversion", "1.0", "ce_source", "/s"), "no id"},
		{"a source that would make ids collide", record(nil, "ce_id", "c", "ce_source", "a b"), "space"},
		{"a structured event that is no JSON", record([]byte("secret"), "content-type", structured),
			"not a JSON object"},
		{"a structured tombstone", record(nil, "content-type", structured), "not a JSON object"},
		{"wrong base64", record([]byte(`{"id":"5","source":"/s","data_base64":"%"}`), "content-type", structured),
			"base64"},
		{"an id that is null", record([]byte(`{"id":null,"source":"/s"}`), "content-type", structured), "no id"},
		{"an id of who knows what", record([]byte("v"), "id", "customer-42", "eventType", "moved"), "DecodeDebezium"},
		{"a batch of events", record([]byte(`[]`), "content-type", "application/cloudevents-batch+json"),
			"several messages"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := inboxkafka.Decode(c.record)
			require.ErrorContains(t, err, c.reason)
			require.NotContains(t, err.Error(), "secret")
		})
	}
}

func TestDebeziumsOutboxRouterIsReadWhenChosen(t *testing.T) {
	for name, r := range map[string]*kgo.Record{
		"plain":   record([]byte("v"), "id", "d-1", "eventType", "placed"),
		"in JSON": record([]byte("v"), "id", `"d-1"`, "eventType", `{"schema":{"type":"string"},"payload":"placed"}`),
	} {
		t.Run(name, func(t *testing.T) {
			m, err := inboxkafka.DecodeDebezium(r)
			require.NoError(t, err)
			require.Equal(t, []string{"d-1", "placed", "v"}, []string{m.ID, m.Type, string(m.Payload)})
		})
	}
	for name, r := range map[string]*kgo.Record{
		"no id":                   record([]byte("v"), "eventType", "placed"),
		"an id that is empty":     record([]byte("v"), "id", `""`),
		"the same in an envelope": record([]byte("v"), "id", `{"schema":{"type":"string"},"payload":""}`),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := inboxkafka.DecodeDebezium(r)
			require.ErrorIs(t, err, inboxkafka.ErrNoID)
		})
	}
}

func TestAnyHeaderCanBeTheID(t *testing.T) {
	decode := inboxkafka.HeaderID("message-id")
	m, err := decode(record([]byte("v"), "message-id", "m-1", "name", "placed", "id", "other"))
	require.NoError(t, err)
	require.Equal(t, "m-1", m.ID)
	require.Equal(t, "placed", m.Type)
	_, err = decode(record([]byte("v"), "id", "other"))
	require.ErrorIs(t, err, inboxkafka.ErrNoID)
	require.ErrorContains(t, err, "message-id")
}

// Whatever arrives, a message has an id, or there is a reason.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"id":"1","source":"/s","data":1}`), "content-type", "application/cloudevents+json", "ce_id", "1")
	f.Add([]byte("v"), "id", `"x"`, "ce_source", "/s")
	f.Add([]byte("v"), "id", `""`, "eventType", `""`)
	f.Add([]byte(nil), "_watermill_message_uuid", "u", "name", "t")
	f.Fuzz(func(t *testing.T, value []byte, name1, value1, name2, value2 string) {
		for _, decode := range []inboxkafka.Decoder{inboxkafka.Decode, inboxkafka.DecodeDebezium} {
			m, err := decode(record(value, name1, value1, name2, value2))
			if err == nil && m.ID == "" {
				t.Fatal("neither an id nor a reason")
			}
		}
	})
}
