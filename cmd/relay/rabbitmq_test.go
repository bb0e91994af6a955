package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
)

// TestScriptsOnRabbitMQ runs commands against each real database and RabbitMQ. Each script has a database and an
// exchange's name of its own.
func TestScriptsOnRabbitMQ(t *testing.T) {
	for _, file := range scripts(t, "rabbitmq") {
		dbtest.Each(t, func(t *testing.T, db dbtest.Database) {
			url := dbtest.AMQP(t)
			uri, err := amqp091.ParseURI(url)
			require.NoError(t, err)
			testscript.Run(t, params([]string{file}, map[string]string{
				"POSTROOM_DATABASE_URL": db.URL, "POSTROOM_AMQP_URL": url, "PASSWORD": uri.Password,
				"TOPIC": dbtest.Queue(t),
			}))
		})
	}
}

// queue declares a fanout exchange and a queue of the same name, which end soon after the test.
func queue(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 2, "queue URL NAME")
	onChannel(ts, args[0], func(ch *amqp091.Channel) {
		ts.Check(ch.ExchangeDeclare(args[1], "fanout", true, true, false, false, nil))
		_, err := ch.QueueDeclare(args[1], true, false, false, false, amqp091.Table{
			"x-expires": int32(2 * patience / time.Millisecond),
		})
		ts.Check(err)
		ts.Check(ch.QueueBind(args[1], "", args[1], false, nil))
	})
}

// receive prints the messages that a queue holds, which must be as many: key, value and headers, sorted.
func receive(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 3, "receive URL NAME COUNT")
	count, err := strconv.Atoi(args[2])
	ts.Check(err)
	var lines []string
	onChannel(ts, args[0], func(ch *amqp091.Channel) {
		for {
			d, ok, err := ch.Get(args[1], true)
			ts.Check(err)
			if !ok {
				return
			}
			line := fmt.Sprintf("key=%s value=%s", d.RoutingKey, d.Body)
			for _, name := range []string{"_watermill_message_uuid", "name", "postroom_created_at"} {
				if value, ok := d.Headers[name]; ok {
					line += fmt.Sprintf(" %s=%v", name, value)
				}
			}
			lines = append(lines, line)
		}
	})
	slices.Sort(lines)
	if len(lines) != count {
		ts.Fatalf("%d messages, want %d: %s", len(lines), count, strings.Join(lines, "; "))
	}
	_, err = fmt.Fprintln(ts.Stdout(), strings.Join(lines, "\n"))
	ts.Check(err)
}

func onChannel(ts *testscript.TestScript, url string, do func(*amqp091.Channel)) {
	conn, err := amqp091.Dial(url)
	ts.Check(err)
	defer func() { ts.Check(conn.Close()) }()
	ch, err := conn.Channel()
	ts.Check(err)
	do(ch)
}
