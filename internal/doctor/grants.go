package doctor

import (
	"fmt"

	"github.com/postroom/postroom/internal/dialect"
)

// grants names each right that the relay's user lacks.
func grants(f *Facts, found *findings) {
	for _, g := range f.Grants {
		subject := g.On
		if f.Tables[g.On] {
			subject = f.table(g.On)
		}
		if g.Optional {
			why := "a restore that set the ids back is not noticed"
			if f.is(dialect.MySQL) {
				why = "ids of transactions that were rolled back are asked for in every read, and long transactions are not found"
			}
			found.add(Warning, "grants.optional", subject, fmt.Sprintf("the user %s has no %s on %s", f.user(), g.Right, subject), why, g.SQL)
			continue
		}
		found.add(Problem, "grants.missing", subject, fmt.Sprintf("the user %s has no %s on %s", f.user(), g.Right, subject),
			"the relay fails when it needs it: docs/tables.md lists all that it needs", g.SQL)
	}
}
