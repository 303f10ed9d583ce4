package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/v2"

	"github.com/hydrastore/hydrastore/session"
)

// Input is where settings come from. Later ones win: file, environment, flags.
type Input struct {
	File    string            // path of the YAML file; "" = none
	Environ []string          // as os.Environ gives it
	Flags   map[string]string // text by the setting's key, of the flags that were given
	// Dev turns on what a cluster to look at and to try has on: protocols that nothing is said about.
	Dev bool
	// Hostname names this machine, for node.name. Default: os.Hostname.
	Hostname func() (string, error)
}

// Load reads, merges and checks. Its error is a Problems. It reads the files that settings
// name and changes nothing.
func Load(in Input) (Config, error) {
	l := loader{in: in, k: koanf.New("."), sources: map[string]Source{}}
	l.readFile()
	l.readEnviron()
	l.readFlags()
	if len(l.problems) == 0 { // decoding what was misread would only repeat the problem
		l.decode()
	}
	if len(l.problems) == 0 {
		l.complete()
	}
	if len(l.problems) > 0 {
		return Config{}, l.problems.ordered()
	}
	return l.config, nil
}

// loader gathers all problems before it gives up, so that a person mends a file once.
type loader struct {
	in       Input
	k        *koanf.Koanf
	sources  map[string]Source // who gave the value that won, by key
	config   Config
	problems Problems
}

func (l *loader) problem(key, format string, args ...any) {
	l.problems = append(l.problems, Problem{Source: l.sources[key], Key: key, Text: fmt.Sprintf(format, args...)})
}

func (l *loader) readFile() {
	if l.in.File == "" {
		return
	}
	text, doc, problem := readYAML(l.in.File)
	if problem != nil {
		l.problems = append(l.problems, *problem)
		return
	}
	walk := fileWalk{file: l.in.File, sources: l.sources, known: knownKeys()}
	walk.mapping("", doc)
	l.problems = append(l.problems, walk.problems...)
	if len(walk.problems) > 0 {
		return
	}
	if err := l.k.Load(rawText(text), yaml.Parser()); err != nil {
		l.problems = append(l.problems, yamlProblem(l.in.File, err))
	}
}

func (l *loader) readEnviron() {
	byEnv := map[string]Setting{}
	for _, s := range Settings() {
		byEnv[s.Env()] = s
	}
	for _, pair := range l.in.Environ {
		name, _, _ := strings.Cut(pair, "=")
		if s, known := byEnv[name]; known {
			l.sources[s.Key] = Source{Name: name}
		} else if strings.HasPrefix(name, EnvPrefix) && !isOtherVariable(name) {
			l.problems = append(l.problems, Problem{Source: Source{Name: name}, Text: unknownText(name, envNames())})
		}
	}
	toKey := func(name, value string) (string, any) { return byEnv[name].Key, value } // "" = not ours: left out
	provider := env.Provider(".", env.Opt{Prefix: EnvPrefix, TransformFunc: toKey, EnvironFunc: func() []string { return l.in.Environ }})
	if err := l.k.Load(provider, nil); err != nil {
		l.problems = append(l.problems, Problem{Text: "read environment: " + err.Error()})
	}
}

func (l *loader) readFlags() {
	for _, s := range Settings() {
		value, given := l.in.Flags[s.Key]
		if !given || s.Secret {
			continue
		}
		l.sources[s.Key] = Source{Name: "--" + s.Flag()}
		if err := l.k.Set(s.Key, value); err != nil {
			l.problem(s.Key, "%v", err)
		}
	}
}

// decode puts every value into its field.
func (l *loader) decode() {
	l.config.Cluster.BootstrapExpect = expectUnset
	for _, s := range Settings() {
		value := l.k.Get(s.Key)
		if value == nil {
			if s.Default == "" {
				continue
			}
			value = s.Default
		}
		if list, ok := s.field(&l.config).(*[]session.Policy); ok {
			*list = l.policies(s.Key, value)
			continue
		}
		if text := assign(s.field(&l.config), value, s.Secret); text != "" {
			l.problem(s.Key, "%s", text)
		}
	}
}

// rawText is a koanf provider of bytes that were read already.
type rawText []byte

func (t rawText) ReadBytes() ([]byte, error)    { return t, nil }
func (t rawText) Read() (map[string]any, error) { return nil, fmt.Errorf("raw text needs a parser") }

func knownKeys() map[string]bool {
	known := map[string]bool{}
	for _, s := range Settings() {
		known[s.Key] = true
	}
	return known
}

func envNames() []string {
	var names []string
	for _, s := range Settings() {
		names = append(names, s.Env())
	}
	return append(names, otherVariables()...)
}

// unknownText is the sentence for a name that is no setting.
func unknownText(name string, candidates []string) string {
	text := "there is no such setting"
	if near := nearest(name, candidates); near != "" {
		text += "; did you mean " + near + "?"
	}
	return text
}

// otherVariables are the variables of Hydrastore that are no settings of a node.
func otherVariables() []string {
	return []string{
		EnvPrefix + "CONFIG", EnvPrefix + "ADMIN_PASSWORD", EnvPrefix + "ADMIN_PASSWORD_FILE", EnvPrefix + "ADDRESS",
		EnvPrefix + "USER", EnvPrefix + "PASSWORD", EnvPrefix + "SESSION_KEY", EnvPrefix + "LOGIN_FILE", EnvPrefix + "SOCKET",
		EnvPrefix + "CA_FILE", EnvPrefix + "NEW_PASSWORD",
	}
}

// isOtherVariable tells variables that are meant for other parts: commands, tests, and what Kubernetes sets in every
// pod for services whose names begin with "hydrastore".
func isOtherVariable(name string) bool {
	return slices.Contains(otherVariables(), name) || strings.HasPrefix(name, EnvPrefix+"E2E") || serviceLink.MatchString(name)
}
