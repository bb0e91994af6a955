package cli

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/postroom/postroom/internal/dialect"
)

func newInboxParkedList(env *Env) *cobra.Command {
	var (
		chosen inboxSelection
		state  string
		limit  int
	)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "list parked messages, in the order in which they would be run again",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			wrong := errors.Join(checkList(state, limit), checkConsumer(cmd.Flags(), chosen.consumer))
			return onInbox(env, cmd, wrong, func(ctx context.Context, d *database) error {
				f := chosen.filter()
				f.State = state
				entries, more, err := dialect.ListInboxParked(ctx, d.DB, d.names(), f, limit)
				if err != nil {
					return err
				}
				if len(entries) == 0 {
					if err := knownConsumer(ctx, d, chosen.consumer); err != nil {
						return err
					}
					sayEmpty(env, cmd, chosen.what()+inState(state))
				}
				if more {
					_, _ = fmt.Fprintf(env.Stderr, "there are more than these %d: choose by --consumer, --topic, --key or --state, or raise --limit\n", limit)
				}
				return printInboxParked(env, cmd, entries)
			})
		},
	}
	addInbox(cmd)
	chosen.add(cmd.Flags())
	cmd.Flags().StringVar(&state, "state", "", "`state`: "+strings.Join(parkedStates(), ", "))
	cmd.Flags().IntVar(&limit, "limit", 100, "list this `number` of messages at the most")
	return cmd
}

// inboxParkedEntry is an element of `inbox parked list --json`, and most of `inbox parked show --json`.
type inboxParkedEntry struct {
	Seq       int64     `json:"seq"`
	State     string    `json:"state"`
	Consumer  string    `json:"consumer"`
	MessageID string    `json:"message_id"`
	Topic     string    `json:"topic"`
	Key       *string   `json:"key"` // null: none, or no text
	KeyBase64 string    `json:"key_base64,omitempty"`
	Type      string    `json:"type"`
	Attempts  int       `json:"attempts"`
	Error     string    `json:"error"`
	ParkedAt  time.Time `json:"parked_at"`
	Position  *position `json:"position"` // null: the transport has none
	Payload   *int64    `json:"payload_bytes"`
}

type position struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
}

func inboxEntryOf(e dialect.InboxParkedEntry) inboxParkedEntry {
	p := inboxParkedEntry{
		Seq: e.Seq, State: e.State, Consumer: e.Consumer, MessageID: e.MessageID, Topic: e.Topic, Type: e.Type,
		Attempts: e.Attempts, Error: e.Error, ParkedAt: e.ParkedAt,
	}
	if e.PayloadSize >= 0 {
		p.Payload = &e.PayloadSize
	}
	if e.Position != nil {
		p.Position = &position{e.Position.Topic, e.Position.Partition, e.Position.Offset}
	}
	if e.Key != nil && utf8.ValidString(*e.Key) {
		p.Key = e.Key
	} else if e.Key != nil {
		p.KeyBase64 = base64.StdEncoding.EncodeToString([]byte(*e.Key))
	}
	return p
}

func (p inboxParkedEntry) shownKey() string {
	return parkedEntry{Key: p.Key, KeyBase64: p.KeyBase64}.shownKey()
}

// shownError is the error, or its first part, as text for people: a message that waits has none of its own.
func (p inboxParkedEntry) shownError(text string) string {
	switch {
	case text == "" && p.State == dialect.ParkBlocked:
		return "waits behind an earlier message of its key"
	case text == "":
		return "-"
	}
	return printable(text)
}

func printInboxParked(env *Env, cmd *cobra.Command, entries []dialect.InboxParkedEntry) error {
	all := make([]inboxParkedEntry, len(entries))
	rows := make([][]string, len(entries))
	for i, e := range entries {
		p := inboxEntryOf(e)
		all[i] = p
		rows[i] = []string{
			strconv.FormatInt(p.Seq, 10), p.State, printable(p.Consumer), printable(p.Topic), p.shownKey(), dash(printable(p.Type)), printable(p.MessageID),
			strconv.Itoa(p.Attempts), p.ParkedAt.UTC().Format(time.RFC3339), short(p.shownError(p.Error), 100),
		}
	}
	if wantsJSON(cmd) {
		return printJSON(env.Stdout, all)
	}
	if len(all) == 0 {
		return nil
	}
	return printTable(env.Stdout, []string{"SEQ", "STATE", "CONSUMER", "TOPIC", "KEY", "TYPE", "MESSAGE ID", "ATTEMPTS", "PARKED AT", "ERROR"}, rows)
}

func newInboxParkedShow(env *Env) *cobra.Command {
	var (
		chosen  inboxSelection
		payload bool
		most    int
	)
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "show everything about one parked message",
		Long: `show prints what is known of one parked message, named by its number or its message id. Its
payload may hold what not everybody should see, so it is printed only with --payload: as text
if it is UTF-8, otherwise in hexadecimal (in JSON: base64).`,
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, wrong := inboxParkedIDs(args)
			if len(args) != 1 {
				wrong = errors.Join(wrong, errors.New("name one message: by its number or its message id"))
			}
			if most < 1 || most > 16<<20 {
				wrong = errors.Join(wrong, fmt.Errorf("--payload-limit: %d is out of range: want 1 to 16777216", most))
			}
			return onInbox(env, cmd, wrong, func(ctx context.Context, d *database) error {
				e, err := dialect.FindInboxParked(ctx, d.DB, d.names(), dialect.InboxParkedFilter{Consumer: chosen.consumer}, ids[0], most)
				if err != nil {
					return errors.Join(knownConsumer(ctx, d, chosen.consumer), err)
				}
				return showInboxParked(env, cmd, e, payload)
			})
		},
	}
	addInbox(cmd)
	cmd.Flags().StringVar(&chosen.consumer, "consumer", "", "`name` of the consumer, if several have parked the message")
	cmd.Flags().BoolVar(&payload, "payload", false, "print the payload too")
	cmd.Flags().IntVar(&most, "payload-limit", 64<<10, "print so many `bytes` of the payload at the most")
	return cmd
}

// shownInboxEntry is what `inbox parked show --json` prints.
type shownInboxEntry struct {
	inboxParkedEntry
	Headers json.RawMessage `json:"headers"`

	Text   *string `json:"payload,omitempty"`
	Base64 string  `json:"payload_base64,omitempty"`
	Cut    bool    `json:"payload_cut,omitempty"`
}

func showInboxParked(env *Env, cmd *cobra.Command, e dialect.InboxParkedEntry, payload bool) error {
	s := shownInboxEntry{inboxParkedEntry: inboxEntryOf(e), Headers: json.RawMessage(e.Headers)}
	body := shownEntry{}
	if payload && e.PayloadSize >= 0 {
		body.setPayload(dialect.ParkedEntry{Payload: e.Payload, PayloadSize: e.PayloadSize})
		s.Text, s.Base64, s.Cut = body.Text, body.Base64, body.Cut
	}
	if wantsJSON(cmd) {
		return printJSON(env.Stdout, s)
	}
	size, at := "none (a tombstone)", "-"
	if s.Payload != nil {
		size = strconv.FormatInt(*s.Payload, 10) + " bytes"
	}
	if p := e.Position; p != nil {
		at = fmt.Sprintf("%s/%d@%d", printable(p.Topic), p.Partition, p.Offset)
	}
	meaning := map[string]string{
		dialect.ParkFailed: ": the consumer gave it up", dialect.ParkBlocked: ": waits behind a message of its key",
		dialect.ParkRetry: ": the consumer is about to run it again", dialect.ParkDrop: ": the consumer is about to delete it",
	}[s.State]
	// Of a panic the stack follows, a line each.
	text, stack, _ := strings.Cut(s.Error, "\n\n")
	lines := [][2]string{
		{"seq", strconv.FormatInt(s.Seq, 10)}, {"state", s.State + meaning}, {"error", s.shownError(text)}, {"attempts", strconv.Itoa(s.Attempts)},
		{"parked at", s.ParkedAt.UTC().Format(time.RFC3339Nano)}, {"consumer", printable(s.Consumer)}, {"message id", printable(s.MessageID)},
		{"topic", printable(s.Topic)}, {"key", s.shownKey()}, {"type", dash(s.Type)}, {"read from", at}, {"payload", size},
	}
	for i, h := range shownHeaders(e.Headers) {
		lines = append(lines, [2]string{map[bool]string{true: "headers"}[i == 0], h})
	}
	for l := range strings.Lines(stack) {
		indent := map[bool]string{true: "    "}[strings.HasPrefix(l, "\t")]
		lines = append(lines, [2]string{"", indent + printable(strings.TrimSpace(l))})
	}
	for _, l := range lines {
		if _, err := fmt.Fprintf(env.Stdout, "%-12s  %s\n", l[0], l[1]); err != nil {
			return err
		}
	}
	if !payload || s.Payload == nil {
		return nil
	}
	return body.printPayload(env.Stdout, e.Payload)
}

func newInboxParkedRetry(env *Env) *cobra.Command {
	var chosen inboxSelection
	cmd := &cobra.Command{
		Use:   "retry [ID…]",
		Short: "have parked messages run again, in the order of their keys",
		Long: `retry has the consumer run parked messages again: those that are named, or all failed ones of a
topic, of a key, or of the database. When a key's failed message was handled, the messages that
wait behind it follow by themselves, before newer ones.`,
		Example: `  relay inbox parked retry 17
  relay inbox parked retry --consumer billing --topic orders --key customer-42
  relay inbox parked retry --all`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return askInboxParked(env, cmd, args, &chosen, dialect.InboxParkedAsk{State: dialect.ParkRetry}, nil)
		},
	}
	addInbox(cmd)
	chosen.add(cmd.Flags())
	chosen.addAll(cmd.Flags(), "all failed messages")
	return cmd
}

func newInboxParkedDrop(env *Env) *cobra.Command {
	var (
		chosen inboxSelection
		reason string
	)
	cmd := &cobra.Command{
		Use:   "drop [ID…]",
		Short: "give parked messages up: the consumer deletes them without handling them",
		Long: `drop has the consumer delete parked messages: those that are named, or all of a topic, of a key,
or of the database. They take no effect, ever. The messages that wait behind a dropped one are then
handled. Until the consumer has done it, 'relay inbox parked retry' takes it back.

The reason stands with the messages until they are deleted ('relay inbox parked show'). Then the
consumer's log has it, with each message's id and the error for which it was parked.`,
		Example: `  relay inbox parked drop 17 --reason 'test order, agreed with billing'
  relay inbox parked drop --topic orders --key customer-42 --reason 'account was deleted'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			var wrong error
			if reason = strings.TrimSpace(reason); reason == "" {
				wrong = errors.New("--reason: say why these messages may be lost: " +
					"it is kept with them until they are deleted, and in the consumer's log then")
			}
			return askInboxParked(env, cmd, args, &chosen, dialect.InboxParkedAsk{State: dialect.ParkDrop, Reason: reason}, wrong)
		},
	}
	addInbox(cmd)
	chosen.add(cmd.Flags())
	chosen.addAll(cmd.Flags(), "all parked messages, waiting ones too")
	cmd.Flags().StringVar(&reason, "reason", "", "`text`: why they may be lost; required")
	return cmd
}

// askedOfInbox is what `inbox parked retry --json` and `inbox parked drop --json` print.
type askedOfInbox struct {
	Ask       string `json:"ask"`       // retry, drop
	Marked    int64  `json:"marked"`    // messages whose state was set
	Followers int64  `json:"followers"` // messages that wait behind them
}

func askInboxParked(env *Env, cmd *cobra.Command, args []string, chosen *inboxSelection, ask dialect.InboxParkedAsk, wrong error) error {
	ids, badIDs := inboxParkedIDs(args)
	ask.IDs, ask.Filter = ids, chosen.filter()
	return onInbox(env, cmd, errors.Join(wrong, badIDs, chosen.check(args)), func(ctx context.Context, d *database) error {
		answer, err := dialect.AskInboxParked(ctx, d.DB, d.names(), ask)
		if err != nil {
			return errors.Join(knownConsumer(ctx, d, chosen.consumer), err)
		}
		if !answer.Found {
			if err := knownConsumer(ctx, d, chosen.consumer); err != nil {
				return err
			}
			if !chosen.all {
				return fmt.Errorf("%s: see relay inbox parked list", chosen.what())
			}
		}
		if wantsJSON(cmd) {
			return printJSON(env.Stdout, askedOfInbox{ask.State, answer.Marked, answer.Followers})
		}
		_, err = fmt.Fprintln(env.Stdout, inboxAskedText(ask.State, answer, chosen.what()))
		return err
	})
}

func inboxAskedText(state string, answer dialect.ParkedAnswer, nothing string) string {
	does := map[string]string{dialect.ParkRetry: "run again", dialect.ParkDrop: "dropped"}[state]
	switch {
	case !answer.Found:
		return "nothing to do: " + nothing
	case answer.Marked == 0:
		return fmt.Sprintf("nothing to do: what is named is to be %s already, or follows by itself", does)
	}
	text := fmt.Sprintf("%s to be %s by the consumer, if it runs", countOf(answer.Marked, "message"), does)
	switch {
	case answer.Followers == 1:
		text += "; 1 waits behind and follows"
	case answer.Followers > 1:
		text += fmt.Sprintf("; %s wait behind and follow", atLeast(answer.Followers))
	}
	return text
}
