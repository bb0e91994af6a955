package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// checkKeys rejects keys that no setting has. Otherwise nobody would notice that a misspelt
// key leaves the default in use.
func (l *loader) checkKeys(path string, raw map[string]any) {
	known := tree{}
	for _, s := range settings() {
		known.insert(s.key)
		if s.secret {
			known.insert(s.key + "_file")
		}
	}
	source := known["source"]
	delete(known, "source")
	known["sources"] = nil // a list; its elements are checked one by one
	l.walk(path, "", raw, known)
	list, _ := raw["sources"].([]any)
	for i, element := range list {
		if m, ok := element.(map[string]any); ok {
			l.walk(path, fmt.Sprintf("sources[%d].", i), m, source)
		}
	}
}

// tree has the known keys of a section; nil: a value, not a section.
type tree map[string]tree

func (t tree) insert(key string) {
	name, rest, nested := strings.Cut(key, delimiter)
	if !nested {
		t[name] = nil
		return
	}
	if t[name] == nil {
		t[name] = tree{}
	}
	t[name].insert(rest)
}

func (l *loader) walk(path, prefix string, raw map[string]any, known tree) {
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		section, ok := known[name]
		if !ok {
			l.add("%s%s in %s: no such setting: %s", prefix, name, path, suggest(name, known))
			continue
		}
		if section == nil || raw[name] == nil {
			continue
		}
		inner, ok := raw[name].(map[string]any)
		if !ok {
			l.add("%s%s in %s: want a section with %s", prefix, name, path, keysOf(section))
			continue
		}
		l.walk(path, prefix+name+delimiter, inner, section)
	}
}

func suggest[V any](name string, known map[string]V) string {
	if near := nearest(name, known, 3); near != "" {
		return "did you mean " + near + "?"
	}
	return "there are " + keysOf(known)
}

func keysOf[V any](known map[string]V) string {
	return strings.Join(slices.Sorted(maps.Keys(known)), ", ")
}

// Nearest returns the known name that is most similar to a misspelt one, or "" if none is
// similar.
func Nearest(name string, known []string) string {
	set := map[string]bool{}
	for _, k := range known {
		set[k] = true
	}
	return nearest(name, set, 3)
}

// nearest returns the known name with the fewest edits, at most that many and fewer
// than half of the name's letters; "" if there is none.
func nearest[V any](name string, known map[string]V, most int) string {
	best, found := min(most, len(name)/2)+1, ""
	for _, candidate := range slices.Sorted(maps.Keys(known)) {
		if d := edits(name, candidate); d < best {
			best, found = d, candidate
		}
	}
	return found
}

// edits is the Levenshtein distance.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
