package audit_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/hydrastore/hydrastore/fsm"
)

// constants returns the constants of a file whose names begin with prefix, and their values where these are texts.
func constants(t *testing.T, path, prefix string) map[string]string {
	t.Helper()
	code, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	ast.Inspect(code, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		for i, name := range spec.Names {
			if !strings.HasPrefix(name.Name, prefix) {
				continue
			}
			found[name.Name] = ""
			if i < len(spec.Values) {
				if literal, ok := spec.Values[i].(*ast.BasicLit); ok {
					found[name.Name], _ = strconv.Unquote(literal.Value)
				}
			}
		}
		return true
	})
	return found
}

// TestThePageKnowsEverything: docs/audit.md names every event, cause, reason and field, and every cause has a name of its own.
func TestThePageKnowsEverything(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/audit.md")
	if err != nil {
		t.Fatal(err)
	}
	want := func(what, name string) {
		if name == "" || !strings.Contains(string(text), "`"+name+"`") {
			t.Errorf("docs/audit.md does not say what the %s %q is", what, name)
		}
	}
	kinds := constants(t, "../../fsm/event.go", "Event")
	for _, name := range kinds {
		want("event", name)
	}
	causes := constants(t, "../../fsm/record.go", "Cause")
	names := map[string]bool{}
	for c := range fsm.Cause(len(causes)) {
		name := (c + 1).String()
		if name == "unknown" || names[name] {
			t.Errorf("the cause of number %d is called %q: give it a name in causeNames", c+1, name)
		}
		names[name] = true
		want("cause", name)
	}
	events, err := os.ReadFile("../../fsm/event.go")
	if err != nil {
		t.Fatal(err)
	}
	reasons := regexp.MustCompile(`LoginFailed_REASON_\w+:\s+"(\w+)"`).FindAllSubmatch(events, -1)
	for _, m := range reasons {
		want("reason", string(m[1]))
	}
	lines, err := os.ReadFile("line.go")
	if err != nil {
		t.Fatal(err)
	}
	fields := regexp.MustCompile("`json:\"(\\w+)").FindAllSubmatch(lines, -1)
	for _, m := range fields {
		want("field", string(m[1]))
	}
	if len(kinds) < 12 || len(causes) < 5 || len(reasons) < 5 || len(fields) < 20 {
		t.Errorf("the code was not read: %d kinds, %d causes, %d reasons, %d fields", len(kinds), len(causes), len(reasons), len(fields))
	}
}
