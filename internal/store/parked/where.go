package parked

import (
	"strings"

	"github.com/postroom/postroom/internal/db"
)

// where collects conditions of the .sql file and their arguments.
type where struct {
	s          *Store
	conditions []string
	args       []any
}

// where returns the conditions of a filter. All of them compare by bytes.
func (s *Store) where(f Filter) *where {
	w := &where{s: s}
	s.ofFilter(w, f)
	if f.Key != nil {
		w.and(s.sql.OfKey, s.names.KeyArg(*f.Key))
	}
	if f.State != "" {
		w.and(s.sql.InState, f.State)
	}
	return w
}

// and adds a condition.
func (w *where) and(condition string, args ...any) *where {
	w.conditions, w.args = append(w.conditions, condition), append(w.args, args...)
	return w
}

// named adds the condition that a row is one of ids.
func (w *where) named(ids []ID) *where {
	alternatives := make([]string, len(ids))
	for i, id := range ids {
		if id.Seq != 0 {
			alternatives[i], w.args = w.s.sql.WithSeq, append(w.args, id.Seq)
		} else {
			alternatives[i], w.args = w.s.sql.WithID, append(w.args, w.s.idArg(id.Name))
		}
	}
	return w.and("(" + strings.Join(alternatives, " OR ") + ")")
}

// but adds the condition that a row is not one of these.
func (w *where) but(seqs []int64) *where {
	if len(seqs) == 0 {
		return w
	}
	return w.and(db.Fill(w.s.sql.But, db.Values{"seqs": seqs}))
}

// in puts the conditions into a statement, with other values that it names.
func (w *where) in(statement string, others db.Values) string {
	text := ""
	if len(w.conditions) > 0 {
		text = " WHERE " + strings.Join(w.conditions, " AND ")
	}
	values := db.Values{"where": db.SQL(text), "limit": db.CountLimit}
	for name, value := range others {
		values[name] = value
	}
	return w.s.names.Numbered(db.Fill(statement, values))
}
