package config

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// value looks up a setting, and records under which name it was found.
func (l *loader) value(key string) (any, layer, bool) {
	for _, layer := range l.layers {
		if v := layer.values.Get(key); v != nil {
			l.origins[key] = layer.name(find(key))
			return v, layer, true
		}
	}
	return nil, layer{}, false
}

func (l *loader) text(key, fallback string) string {
	v, _, ok := l.value(key)
	if !ok {
		return fallback
	}
	s, err := asText(v)
	if err != nil {
		l.add("%s: %w", l.origins[key], err)
	}
	return s
}

func asText(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return strings.TrimSpace(v), nil
	case int, int64, uint64, float64, bool:
		return fmt.Sprint(v), nil // a name that looks like a number needs no quotes
	}
	return "", errors.New("want a single value")
}

func (l *loader) toggle(key string) bool {
	v, _, ok := l.value(key)
	if !ok {
		return false
	}
	b, err := strconv.ParseBool(fmt.Sprint(v))
	if err != nil {
		l.add("%s: want true or false", l.origins[key])
	}
	return b
}

func (l *loader) duration(key string, fallback, least, most time.Duration) time.Duration {
	v, _, ok := l.value(key)
	if !ok {
		return fallback
	}
	d, err := time.ParseDuration(fmt.Sprint(v))
	if err != nil {
		l.add(
			"%s: %q is no duration: write a number with its unit, for example %s", l.origins[key], fmt.Sprint(v),
			fallback,
		)
		return fallback
	}
	if d < least || d > most {
		l.add("%s: %s is out of range: want %s to %s", l.origins[key], d, least, most)
		return fallback
	}
	return d
}

// age reads a length of time in Age's format; 0: not given.
func (l *loader) age(key string, least, most time.Duration) time.Duration {
	v, _, ok := l.value(key)
	if !ok {
		return 0
	}
	d, err := Age(fmt.Sprint(v))
	switch {
	case err != nil:
		l.add("%s: %w", l.origins[key], err)
	case d < least || d > most:
		l.add("%s: %s is out of range: want %s to %s", l.origins[key], d, least, most)
	default:
		return d
	}
	return 0
}

func (l *loader) bytes(key string, least, most int32) int32 {
	v, _, ok := l.value(key)
	if !ok {
		return 0
	}
	n, err := strconv.ParseInt(fmt.Sprint(v), 10, 32)
	if err != nil || n < int64(least) || n > int64(most) {
		l.add("%s: %q is no size: want a number of bytes from %d to %d", l.origins[key], fmt.Sprint(v), least, most)
		return 0
	}
	return int32(n)
}

func (l *loader) list(key string) []string {
	v, _, ok := l.value(key)
	if !ok {
		return nil
	}
	parts, isList := v.([]any)
	if !isList {
		text, err := asText(v)
		if err != nil {
			l.add("%s: want a list, or values with commas between them", l.origins[key])
			return nil
		}
		for part := range strings.SplitSeq(text, ",") {
			parts = append(parts, part)
		}
	}
	var values []string
	for _, part := range parts {
		text, err := asText(part)
		if err != nil || text == "" {
			l.add("%s: it has an empty element", l.origins[key])
			continue
		}
		values = append(values, text)
	}
	return values
}

// secret looks for the value or for a file that holds it, in the first layer that
// names either.
func (l *loader) secret(key string) Secret {
	s := find(key)
	for _, layer := range l.layers {
		value, path := layer.values.Get(key), layer.values.Get(key+"_file")
		name, fileName := layer.name(s), secretFileName(layer, s)
		switch {
		case value != nil && path != nil:
			l.origins[key] = name
			l.add("%s and %s are both set: use one of them", name, fileName)
			return ""
		case value != nil:
			l.origins[key] = name
			text, err := asText(value)
			if err != nil {
				l.add("%s: %w", name, err)
			}
			return Secret(text)
		case path != nil:
			l.origins[key] = fileName
			return l.readSecret(fileName, path)
		}
	}
	return ""
}

func secretFileName(l layer, s setting) string {
	if strings.HasPrefix(l.name(s), envPrefix) {
		return s.envName() + "_FILE"
	}
	return l.name(setting{key: s.key + "_file", flag: s.flag})
}

func (l *loader) readSecret(name string, path any) Secret {
	file, err := asText(path)
	if err != nil {
		l.add("%s: %w", name, err)
		return ""
	}
	content, err := os.ReadFile(file)
	if err != nil {
		l.add("%s: the file cannot be read: %w", name, withoutOp(err))
		return ""
	}
	text := strings.TrimSpace(string(content))
	if text == "" {
		l.add("%s: the file %s is empty", name, file)
	}
	return Secret(text)
}

func withoutOp(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return fmt.Errorf("%s: %w", path.Path, path.Err)
	}
	return err
}

func (l *loader) level(key string) slog.Level {
	v := l.text(key, "info")
	var level slog.Level
	switch strings.ToLower(v) {
	case "debug", "info", "warn", "error":
		_ = level.UnmarshalText([]byte(v)) // these four are known to it
	default:
		l.add("%s: %q is not known: use debug, info, warn or error", l.origins[key], v)
	}
	return level
}

// oneOf reads a value that must be one of these; the first is the default.
func oneOf[T ~string](l *loader, key string, values ...T) T {
	v := T(l.text(key, string(values[0])))
	if slices.Contains(values, v) {
		return v
	}
	var names []string
	for _, known := range values {
		if known != "" { // stands for nothing given
			names = append(names, string(known))
		}
	}
	l.add("%s: %q is not known: use %s", l.origins[key], v, strings.Join(names, ", "))
	return values[0]
}
