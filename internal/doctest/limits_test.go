package doctest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/outbox"
)

// A limit stands in a constant, and in words where people read it. This test ties the words to the constant. A limit
// that gets another unit needs other words here too.
func TestTheTextsSayTheLimitsOfTheConstants(t *testing.T) {
	topic := fmt.Sprintf("1 to %d", outbox.MaxTopic)
	key := fmt.Sprintf("%s of UTF-8", size(outbox.MaxKey))
	eventType := fmt.Sprintf("%d characters", outbox.MaxType)
	payload, headers := size(outbox.MaxPayload), size(outbox.MaxHeaders)

	event := fieldComments(t, "outbox/event.go", "Event")
	message := fieldComments(t, "inbox/message.go", "Message")
	tables := oneLine(read(t, "docs/tables.md"))
	for _, c := range []struct{ where, text, want string }{
		{"the comment of Event.Topic in outbox/event.go", event["Topic"], topic + " of a-z, A-Z, 0-9"},
		{"the comment of Event.Key in outbox/event.go", event["Key"], "At most " + key},
		{"the comment of Event.Type in outbox/event.go", event["Type"], "At most " + eventType},
		{"the comment of Event.Payload in outbox/event.go", event["Payload"], "at most " + payload},
		{"the comment of Event.Headers in outbox/event.go", event["Headers"], "at most " + headers + " as JSON"},
		{"the sentence about Add in docs/tables.md", tables, "`Add` accepts a topic of " + topic +
			" characters, a key of " + size(outbox.MaxKey) + ", a type of " + eventType + ", a payload of " + payload +
			" (`WithMaxPayload` lowers it), and headers of " + headers + " as JSON."},
		{"the comment of Message.ID in inbox/message.go", message["ID"],
			fmt.Sprintf("1 to %d bytes", inbox.MaxMessageID)},
		{"the comment of Message.Topic in inbox/message.go", message["Topic"],
			fmt.Sprintf("at most %d characters", inbox.MaxTopic)},
	} {
		if !strings.Contains(c.text, c.want) {
			t.Errorf("%s must say what the constant says: %q", c.where, c.want)
		}
	}
}

// size writes a number of bytes as the texts do.
func size(bytes int) string {
	switch {
	case bytes >= 1<<20 && bytes%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", bytes>>20)
	case bytes >= 1<<10 && bytes%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", bytes>>10)
	}
	return fmt.Sprintf("%d bytes", bytes)
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// fieldComments returns the comments above the fields of a struct, each in one line.
func fieldComments(t *testing.T, file, name string) map[string]string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, file), nil, parser.ParseComments)
	require.NoError(t, err)
	comments := map[string]string{}
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || spec.Name.Name != name {
			return true
		}
		for _, field := range spec.Type.(*ast.StructType).Fields.List {
			for _, fieldName := range field.Names {
				comments[fieldName.Name] = oneLine(field.Doc.Text())
			}
		}
		return false
	})
	require.NotEmpty(t, comments, "%s has no struct %s", file, name)
	return comments
}
