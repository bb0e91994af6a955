package config

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"
)

// Load reads the configuration from parsed flags, the environment (as from
// os.Environ) and the file that --config or POSTROOM_CONFIG names. Its errors are about
// values that cannot be read. Call CheckSources and CheckRun too, so that all mistakes are
// reported at once: they check that the configuration is complete for a command.
//
// With an error Load still returns the configuration, as far as it could be read.
func Load(flags *pflag.FlagSet, environ []string) (*Config, error) {
	l := &loader{problems: &problems{}}
	l.readFlags(flags)
	l.readEnv(environ)
	l.readFile()
	c := l.config()
	return c, l.err()
}

// loader looks for values in three layers.
type loader struct {
	*problems
	layers   []layer          // the first that has a value wins
	file     string           // path of the YAML file; empty: none
	fileName string           // what named the file: --config or POSTROOM_CONFIG
	sources  []map[string]any // of the YAML file, when there are several
	warnings []string
	origins  origins
}

// layer is one place that values come from.
type layer struct {
	values *koanf.Koanf
	name   func(s setting) string // how the user wrote the setting here
	flags  bool
}

// origins has the name under which each setting was given.
type origins map[string]string

// problems collects errors.
type problems struct{ errs []error }

func (p *problems) add(format string, args ...any) {
	p.errs = append(p.errs, fmt.Errorf(format, args...))
}

func (p *problems) err() error { return errors.Join(p.errs...) }

const delimiter = "."

func (l *loader) readFlags(flags *pflag.FlagSet) {
	byFlag := map[string]string{}
	for _, s := range settings() {
		if s.flag != "" {
			byFlag[s.flag] = s.key
		}
	}
	k := koanf.New(delimiter)
	// Without a koanf to compare with, the provider returns only flags that were given.
	err := k.Load(posflag.ProviderWithFlag(flags, delimiter, nil, func(f *pflag.Flag) (string, any) {
		return byFlag[f.Name], f.Value.String()
	}), nil)
	if err != nil {
		l.add("read the flags: %w", err)
	}
	l.layers = append(l.layers, layer{values: k, flags: true, name: func(s setting) string { return "--" + s.flag }})
	if f := flags.Lookup(configFlag); f != nil {
		l.file, l.fileName = f.Value.String(), "--"+configFlag
	}
}

func (l *loader) readEnv(environ []string) {
	byName := map[string]string{}
	for _, s := range settings() {
		byName[s.envName()] = s.key
		if s.secret {
			byName[s.envName()+"_FILE"] = s.key + "_file"
		}
	}
	k := koanf.New(delimiter)
	err := k.Load(env.Provider(delimiter, env.Opt{
		Prefix:      envPrefix,
		EnvironFunc: func() []string { return environ },
		TransformFunc: func(name, value string) (string, any) {
			if name == configEnv && l.file == "" {
				l.file, l.fileName = value, configEnv
			}
			key, known := byName[name]
			if !known {
				l.suspect(name, byName)
			}
			if value == "" {
				return "", nil // as good as unset: compose files set empty variables
			}
			return key, value
		},
	}), nil)
	if err != nil {
		l.add("read the environment: %w", err)
	}
	l.layers = append(l.layers, layer{values: k, name: setting.envName})
}

// suspect warns about a variable that looks like a misspelt one of ours. It ignores other
// variables that start with POSTROOM_.
func (l *loader) suspect(name string, known map[string]string) {
	if name == configEnv {
		return
	}
	if near := nearest(name, known, 2); near != "" {
		l.warnings = append(
			l.warnings, fmt.Sprintf("environment variable %s is not known: did you mean %s?", name, near),
		)
	}
}

func (l *loader) readFile() {
	path := l.file
	if path == "" {
		return
	}
	k := koanf.New(delimiter)
	if err := k.Load(file.Provider(path), yaml.Parser()); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			l.add("%s: there is no file %s", l.fileName, path)
			return
		}
		l.add("%s: %s cannot be read as YAML: %w", l.fileName, path, yamlError(err))
		return
	}
	l.checkKeys(path, k.Raw())
	l.takeSources(path, k)
	l.layers = append(l.layers, layer{values: k, name: func(s setting) string { return s.yamlName() + " in " + path }})
}

// yamlError keeps the line number, and removes what the parser quotes from the file,
// because it may be a secret.
func yamlError(err error) error {
	text := err.Error()
	if i := strings.IndexAny(text, "`\"'"); i >= 0 {
		text = strings.TrimSpace(text[:i]) + " …"
	}
	return errors.New(strings.Join(strings.Fields(text), " "))
}

// takeSources moves a single source to where flags and variables put theirs, and sets
// several aside.
func (l *loader) takeSources(path string, k *koanf.Koanf) {
	list, ok := k.Get("sources").([]any)
	if !ok {
		if k.Get("sources") != nil {
			l.add("sources in %s: want a list, each element starting with a dash", path)
		}
		return
	}
	for i, element := range list {
		m, ok := element.(map[string]any)
		if !ok {
			l.add("sources[%d] in %s: want keys such as database_url", i, path)
			continue
		}
		l.sources = append(l.sources, m)
	}
	if len(l.sources) != 1 {
		return
	}
	for name, value := range l.sources[0] {
		_ = k.Set("source."+name, value) // fails only without a key
	}
	l.sources = nil
}
