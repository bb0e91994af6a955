package cli

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/postroom/postroom/internal/store/parked"
)

func (t *parkedTable) newShow(env *Env) *cobra.Command {
	cmd := t.show.command("show ID")
	var (
		consumer string
		payload  bool
		most     int
	)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ids, wrong := t.ids(args)
		if len(args) != 1 {
			wrong = errors.Join(wrong, fmt.Errorf("name one %[1]s: by its number or its %[1]s id", t.One))
		}
		if most < 1 || most > 16<<20 {
			wrong = errors.Join(wrong, fmt.Errorf("--payload-limit: %d is out of range: want 1 to 16777216", most))
		}
		return t.on(env, cmd, wrong, func(ctx context.Context, d *database, s *parked.Store) error {
			e, err := s.Find(ctx, parked.Filter{Consumer: consumer}, ids[0], most)
			if err != nil {
				return errors.Join(t.known(ctx, d, consumer), err)
			}
			place, err := s.PlaceOf(ctx, e)
			if err != nil {
				return err
			}
			var body payloadJSON
			if payload {
				body = payloadOf(e)
			}
			if wantsJSON(cmd) {
				return printJSON(env.Stdout, t.shown(d.source.Name, e, place, body))
			}
			if err := printLines(env.Stdout, t.lines(e, place)); err != nil || !payload || e.PayloadSize < 0 {
				return err
			}
			return body.print(env.Stdout, e.Payload)
		})
	}
	addParkedFlags(cmd)
	if t.ofConsumers {
		cmd.Flags().StringVar(&consumer, "consumer", "", "`name` of the consumer, if several have parked the message")
	}
	cmd.Flags().BoolVar(&payload, "payload", false, "print the payload too")
	cmd.Flags().IntVar(&most, "payload-limit", 64<<10, "print so many `bytes` of the payload at the most")
	return cmd
}

// payloadJSON has the first bytes of a payload. They are text if they are valid text, except for a character
// that was cut at the end.
type payloadJSON struct {
	Text   *string `json:"payload,omitempty"`
	Base64 string  `json:"payload_base64,omitempty"`
	Cut    bool    `json:"payload_cut,omitempty"`
}

func payloadOf(e parked.Entry) (p payloadJSON) {
	if e.PayloadSize < 0 {
		return p
	}
	p.Cut = int64(len(e.Payload)) < e.PayloadSize
	if text, ok := textOf(e.Payload, p.Cut); ok {
		p.Text = &text
	} else {
		p.Base64 = base64.StdEncoding.EncodeToString(e.Payload)
	}
	return p
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

func (p payloadJSON) print(w io.Writer, payload []byte) error {
	text := hex.Dump(payload)
	if p.Text != nil {
		text = *p.Text + "\n"
	}
	if p.Cut {
		text += fmt.Sprintf("… cut after %d bytes: --payload-limit shows more\n", len(payload))
	}
	_, err := fmt.Fprintf(w, "\n%s", text)
	return err
}

func printLines(w io.Writer, lines [][2]string) error {
	var text strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&text, "%-12s  %s\n", l[0], l[1])
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// keyJSON returns a key as text, or in base64 if it is not text.
func keyJSON(key *string) (text *string, base string) {
	if key == nil || utf8.ValidString(*key) {
		return key, ""
	}
	return nil, base64.StdEncoding.EncodeToString([]byte(*key))
}

// shownKey returns a key as text for people.
func shownKey(text *string, base string) string {
	switch {
	case text != nil:
		return printable(*text)
	case base != "":
		return "base64:" + base
	}
	return "-"
}

func sizeJSON(e parked.Entry) *int64 {
	if e.PayloadSize < 0 {
		return nil
	}
	return &e.PayloadSize
}

func shownSize(e parked.Entry) string {
	if e.PayloadSize < 0 {
		return "none (a tombstone)"
	}
	return strconv.FormatInt(e.PayloadSize, 10) + " bytes"
}

func shownState(e parked.Entry) string {
	if e.Overtaken {
		return e.State + ", overtaken"
	}
	return e.State
}

func headerLines(e parked.Entry) (lines [][2]string) {
	for i, h := range shownHeaders(e.Headers) {
		lines = append(lines, [2]string{map[bool]string{true: "headers"}[i == 0], h})
	}
	return lines
}
