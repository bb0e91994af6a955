package cli

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/postroom/postroom/internal/config"
	"github.com/postroom/postroom/internal/dialect"
)

func newParkedShow(env *Env) *cobra.Command {
	var (
		payload bool
		most    int
	)
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "show everything about one parked event",
		Long: `show prints what is known of one parked event, named by its number or its event id. Its
payload may hold what not everybody should see, so it is printed only with --payload: as text
if it is UTF-8, otherwise in hexadecimal (in JSON: base64).`,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			ids, wrong := parkedIDs(args)
			if len(args) != 1 {
				wrong = errors.Join(wrong, errors.New("name one event: by its number or its event id"))
			}
			if most < 1 || most > 16<<20 {
				wrong = errors.Join(wrong, fmt.Errorf("--payload-limit: %d is out of range: want 1 to 16777216", most))
			}
			c, err := loadParked(env, cmd, wrong)
			if err != nil {
				return err
			}
			return onSource(ctx, c, func(d *database) error {
				e, err := dialect.FindParked(ctx, d.DB, d.names(), ids[0], most)
				if err != nil {
					return tableError(ctx, d, err)
				}
				place, err := dialect.PlaceOf(ctx, d.DB, d.names(), e)
				if err != nil {
					return err
				}
				shown := shownEntry{parkedEntry: entryOf(d, e), Headers: json.RawMessage(e.Headers)}
				shown.setPlace(place)
				if payload {
					shown.setPayload(e)
				}
				if wantsJSON(cmd) {
					return printJSON(env.Stdout, shown)
				}
				return shown.print(env.Stdout, e, payload)
			})
		},
	}
	config.AddFlags(cmd.Flags(), config.General, config.Database)
	cmd.Flags().BoolVar(&payload, "payload", false, "print the payload too")
	cmd.Flags().IntVar(&most, "payload-limit", 64<<10, "print so many `bytes` of the payload at the most")
	addJSON(cmd)
	return cmd
}

// shownEntry is what `parked show --json` prints.
type shownEntry struct {
	parkedEntry
	Headers    json.RawMessage `json:"headers"`
	First      *int64          `json:"first_of_key"` // seq; null: no key
	FirstState string          `json:"first_state,omitempty"`
	Rows       *int64          `json:"parked_of_key"`

	Text   *string `json:"payload,omitempty"`
	Base64 string  `json:"payload_base64,omitempty"`
	Cut    bool    `json:"payload_cut,omitempty"`
}

func (s *shownEntry) setPlace(p dialect.ParkedPlace) {
	if p.Rows > 0 {
		s.First, s.FirstState, s.Rows = &p.First, p.FirstState, &p.Rows
	}
}

// setPayload puts the payload's first bytes into the JSON: a text, if it is one apart
// from a character that was cut in two at the end.
func (s *shownEntry) setPayload(e dialect.ParkedEntry) {
	if e.PayloadSize < 0 {
		return
	}
	s.Cut = int64(len(e.Payload)) < e.PayloadSize
	if text, ok := textOf(e.Payload, s.Cut); ok {
		s.Text = &text
	} else {
		s.Base64 = base64.StdEncoding.EncodeToString(e.Payload)
	}
}

func textOf(payload []byte, cut bool) (string, bool) {
	for range utf8.UTFMax {
		if utf8.Valid(payload) {
			return string(payload), true
		}
		if !cut || len(payload) == 0 {
			break
		}
		payload = payload[:len(payload)-1]
	}
	return "", false
}

func (s *shownEntry) print(w io.Writer, e dialect.ParkedEntry, payload bool) error {
	size := "none (a tombstone)"
	if s.Payload != nil {
		size = strconv.FormatInt(*s.Payload, 10) + " bytes"
	}
	lines := [][2]string{
		{"seq", strconv.FormatInt(s.Seq, 10)},
		{"state", s.shownState() + s.meaning()},
		{"error", printable(s.Error)},
		{"attempts", strconv.Itoa(s.Attempts)},
		{"parked at", s.ParkedAt.UTC().Format(time.RFC3339Nano)},
		{"event id", s.EventID},
		{"topic", printable(s.Topic)},
		{"key", s.shownKey()},
		{"of this key", s.ofKey()},
		{"type", dash(s.Type)},
		{"created at", s.CreatedAt.UTC().Format(time.RFC3339Nano)},
		{"row", fmt.Sprintf("%d in outbox_events, until it was parked", s.ID)},
		{"payload", size},
	}
	for i, h := range shownHeaders(e.Headers) {
		lines = append(lines, [2]string{map[bool]string{true: "headers", false: ""}[i == 0], h})
	}
	for _, l := range lines {
		if _, err := fmt.Fprintf(w, "%-12s  %s\n", l[0], l[1]); err != nil {
			return err
		}
	}
	if !payload || s.Payload == nil {
		return nil
	}
	return s.printPayload(w, e.Payload)
}

func (s *shownEntry) printPayload(w io.Writer, payload []byte) error {
	text := hex.Dump(payload)
	if s.Text != nil {
		text = *s.Text + "\n"
	}
	if s.Cut {
		text += fmt.Sprintf("… cut after %d bytes: --payload-limit shows more\n", len(payload))
	}
	_, err := fmt.Fprintf(w, "\n%s", text)
	return err
}

// meaning says what the state means, and what may be done.
func (s *shownEntry) meaning() string {
	switch s.State {
	case dialect.ParkFailed:
		if s.Overtaken {
			return ": the sink refused it, and later events of its key were delivered before it"
		}
		return ": the sink refused it"
	case dialect.ParkBlocked:
		if s.First == nil || *s.First == s.Seq {
			return ": waits behind an event of its key"
		}
		return fmt.Sprintf(": waits behind row %d of its key, which is %s", *s.First, s.FirstState)
	case dialect.ParkRetry:
		return ": the relay is about to send it again"
	case dialect.ParkDrop:
		return ": the relay is about to delete it"
	}
	return ""
}

func (s *shownEntry) ofKey() string {
	if s.First == nil {
		return "-"
	}
	return fmt.Sprintf("%s parked, the first is row %d", atLeast(*s.Rows), *s.First)
}
