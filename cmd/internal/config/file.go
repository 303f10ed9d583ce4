package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MaxFileBytes bounds a configuration file.
const MaxFileBytes = 1 << 20

var (
	serviceLink = regexp.MustCompile(`_SERVICE_HOST$|_SERVICE_PORT(_\w+)?$|_PORT$|_PORT_\d+_(TCP|UDP)(_\w+)?$`)
	cookieName  = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	yamlLine    = regexp.MustCompile(`line (\d+): `)
)

// readYAML reads the file and parses it into nodes, which know their lines. doc is nil when the file says nothing.
func readYAML(path string) (text []byte, doc *yaml.Node, problem *Problem) {
	fail := func(format string, args ...any) ([]byte, *yaml.Node, *Problem) {
		return nil, nil, &Problem{Source: Source{File: path}, Text: fmt.Sprintf(format, args...)}
	}
	text, err := readBounded(path, MaxFileBytes)
	if err != nil {
		return fail("%v", err)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var root, second yaml.Node
	if err := decoder.Decode(&root); errors.Is(err, io.EOF) {
		return text, nil, nil
	} else if err != nil {
		p := yamlProblem(path, err)
		return nil, nil, &p
	}
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		return fail("the file holds more than one YAML document; only one is read")
	}
	// Decoding finds what the nodes do not tell: repeated keys, and aliases that contain themselves or grow without end.
	var whole any
	if err := root.Decode(&whole); err != nil {
		p := yamlProblem(path, err)
		return nil, nil, &p
	}
	return text, root.Content[0], nil
}

// readBounded reads a small regular file, with an error that needs no prefix.
func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", errors.Unwrap(err))
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot be read: %w", errors.Unwrap(err))
	case int64(len(text)) > limit:
		return nil, fmt.Errorf("is larger than %d bytes; is this the right file?", limit)
	}
	return text, nil
}

// yamlProblem turns "yaml: line 3: …" into a place and a sentence.
func yamlProblem(path string, err error) Problem {
	p := Problem{Source: Source{File: path}}
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	text = strings.TrimPrefix(text, "unmarshal errors:\n  ")
	if m := yamlLine.FindStringSubmatchIndex(text); m != nil {
		p.Source.Line, _ = strconv.Atoi(text[m[2]:m[3]])
		text = text[:m[0]] + text[m[1]:]
	}
	p.Text = "this is not valid YAML: " + strings.ReplaceAll(text, "\n", "; ")
	return p
}

// fileWalk notes the line of every setting and finds what is no setting.
type fileWalk struct {
	file     string
	known    map[string]bool
	sources  map[string]Source
	problems Problems
}

// mapping walks the settings under path ("" = the whole file). A nil or null node is an empty section.
func (w *fileWalk) mapping(path string, n *yaml.Node) {
	if n == nil || isNull(n) {
		return
	}
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.MappingNode {
		text := "a section is needed here: its settings, each on a line of its own, indented"
		if path == "" {
			text = "the file must hold sections such as api: and cluster:, each with settings"
		}
		w.add(path, n, text)
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		w.pair(path, n.Content[i], n.Content[i+1])
	}
}

func (w *fileWalk) pair(path string, name, value *yaml.Node) {
	if name.Value == "<<" && name.Tag == "!!merge" {
		w.mapping(path, value)
		return
	}
	key := name.Value
	if path != "" {
		key = path + "." + name.Value
	}
	switch {
	case w.known[key] && strings.Contains(name.Value, "."):
		w.add(key, name, "write it as a section: what is before the last dot, a colon, and the rest below it, indented")
	case w.known[key]:
		w.sources[key] = Source{File: w.file, Line: name.Line}
		if key == "policies" {
			w.noteLines(key, value)
		}
	case w.isSection(key):
		w.mapping(key, value)
	default:
		w.add(key, name, unknownText(key, w.candidates(path)))
	}
}

// noteLines remembers where the policies' fields stand.
func (w *fileWalk) noteLines(path string, n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := path + "." + n.Content[i].Value
		w.sources[key] = Source{File: w.file, Line: n.Content[i].Line}
		w.noteLines(key, n.Content[i+1])
	}
}

func (w *fileWalk) add(key string, n *yaml.Node, text string) {
	w.problems = append(w.problems, Problem{Source: Source{File: w.file, Line: n.Line}, Key: key, Text: text})
}

func (w *fileWalk) isSection(key string) bool {
	for k := range w.known {
		if strings.HasPrefix(k, key+".") {
			return true
		}
	}
	return false
}

// candidates are the keys that a misspelt one may have meant: all settings, and at the top the sections too.
func (w *fileWalk) candidates(path string) []string {
	var all []string
	for _, s := range Settings() {
		all = append(all, s.Key)
		if section, _, nested := strings.Cut(s.Key, "."); nested && path == "" {
			all = append(all, section)
		}
	}
	return all
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }
