package hydrastore_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/hydrastore/hydrastore"

// arrows says which rooms a room may import besides itself. A folder that is missing here may not exist.
func arrows() map[string][]string {
	return map[string][]string{
		"":        {},
		"session": {},
		"auth":    {"session"},
		"fsm":     {"session"},
		"cluster": {},
		"node":    {"cluster", "fsm", "auth", "session"},
		"api":     {"session"},
		"backend": {"auth", "session"},
		"client":  {"session"},
		"cmd":     {"api", "node", "backend", "auth", "client", "session"},
		"e2e":     {"client", "session"},
	}
}

// homes says in which rooms a module from outside may be used, so that replacing it touches one room.
func homes() map[string][]string {
	return map[string][]string{
		"github.com/hashicorp/raft":           {"cluster"},
		"github.com/hashicorp/raft-boltdb":    {"cluster"},
		"github.com/hashicorp/raft-wal":       {"cluster"},
		"github.com/hashicorp/raft-autopilot": {"cluster"},
		"github.com/hashicorp/memberlist":     {"cluster"},
		"go.etcd.io/bbolt":                    {"cluster", "backend"},
		"github.com/labstack/echo":            {"api"},
		"github.com/pires/go-proxyproto":      {"api"},
		"github.com/creachadair/jrpc2":        {"api"},
		"github.com/spf13":                    {"cmd"},
		"github.com/knadh/koanf":              {"cmd"},
		"golang.org/x/term":                   {"cmd"},
		"golang.org/x/crypto":                 {"auth"},
		"github.com/go-ldap/ldap":             {"auth"},
		"google.golang.org/protobuf":          {"fsm", "cluster", "node"},
		"github.com/redis/go-redis":           {"backend"},
		"github.com/aws":                      {"backend"},
		"github.com/prometheus/client_golang": {"api", "node", "cluster", "cmd"},
	}
}

// source is one Go file of the module.
type source struct {
	name string // slash-separated, from the module's root
	room string
	test bool
	code *ast.File
}

func (s source) generated() bool { return ast.IsGenerated(s.code) }

func (s source) imports() []string {
	var all []string
	for _, spec := range s.code.Imports {
		name, _ := strconv.Unquote(spec.Path.Value)
		all = append(all, name)
	}
	return all
}

func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && name != "." && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata" || hasModule(name)) {
			return fs.SkipDir
		}
		if entry.IsDir() || filepath.Ext(name) != ".go" {
			return nil
		}
		code, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		room, _, nested := strings.Cut(name, "/")
		if !nested {
			room = ""
		}
		all = append(all, source{name: name, room: room, test: strings.HasSuffix(name, "_test.go"), code: code})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 {
		t.Fatalf("found %d Go files; is this the module's root?", len(all))
	}
	return all
}

// hasModule tells a folder that is a module of its own, such as bench.
func hasModule(dir string) bool {
	found, _ := filepath.Glob(filepath.Join(dir, "go.mod"))
	return len(found) > 0
}

// aid tells a package that runs another program for tests: it needs ports, as they do.
func (s source) aid() bool { return strings.HasSuffix(path.Dir(s.name), "test") }

// TestArrowsPointDown holds the order of the rooms. Tests may import more: they put rooms together.
func TestArrowsPointDown(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		allowed, known := arrows()[s.room]
		if !known {
			t.Errorf("%s: the room %q is not in the house; add it to arrows() with its place", s.name, s.room)
			continue
		}
		for _, name := range s.imports() {
			inside, ours := strings.CutPrefix(name, module+"/")
			if !ours || s.test {
				continue
			}
			if inside == "e2e/freeport" && s.aid() {
				continue
			}
			if to, _, _ := strings.Cut(inside, "/"); to != s.room && !slices.Contains(allowed, to) {
				t.Errorf("%s imports %s: %s may import only %v", s.name, inside, s.room, allowed)
			}
		}
	}
}

// TestSessionUsesTheStandardLibraryOnly: everything depends on it, so it depends on nothing.
func TestSessionUsesTheStandardLibraryOnly(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		for _, name := range s.imports() {
			first, _, _ := strings.Cut(name, "/")
			if s.room == "session" && strings.Contains(first, ".") && !strings.HasPrefix(name, module+"/session") {
				t.Errorf("%s imports %s", s.name, name)
			}
		}
	}
}

// TestForeignModulesStayInTheirRooms looks at tests too, except for the command line's, which drive everything.
func TestForeignModulesStayInTheirRooms(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		for _, name := range s.imports() {
			for home, rooms := range homes() {
				if (name == home || strings.HasPrefix(name, home+"/")) && !slices.Contains(rooms, s.room) {
					t.Errorf("%s imports %s, which belongs to %v", s.name, name, rooms)
				}
			}
			if !s.test && (name == "testing" || strings.HasPrefix(name, "testing/")) {
				t.Errorf("%s imports %s into the product", s.name, name)
			}
		}
	}
}

// TestDependenciesAreExplained: every module that is imported has its line in docs/dependencies.md.
func TestDependenciesAreExplained(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	required := requiredModules(t)
	for _, s := range sources(t) {
		for _, name := range s.imports() {
			first, _, _ := strings.Cut(name, "/")
			if !strings.Contains(first, ".") || strings.HasPrefix(name, module) {
				continue
			}
			from := ""
			for _, candidate := range required {
				if (name == candidate || strings.HasPrefix(name, candidate+"/")) && len(candidate) > len(from) {
					from = candidate
				}
			}
			// The parts of koanf are modules of their own and share a line.
			explained := strings.Contains(string(page), "`"+from+"`") || strings.HasPrefix(from, "github.com/knadh/koanf/")
			if from == "" || !explained {
				t.Errorf("%s imports %s of the module %q, which docs/dependencies.md does not explain", s.name, name, from)
			}
		}
	}
}

func requiredModules(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		if len(fields) >= 2 && strings.Contains(fields[0], "/") {
			names = append(names, fields[0])
		}
	}
	return names
}

// TestNothingHappensOnImport: many nodes live in one process, and a package that does something when it is imported, or
// keeps something between calls, does so for all of them.
func TestNothingHappensOnImport(t *testing.T) {
	t.Parallel()
	packages := map[string][]source{}
	for _, s := range sources(t) {
		if !s.test && !s.generated() {
			packages[path.Dir(s.name)] = append(packages[path.Dir(s.name)], s)
		}
	}
	for _, files := range packages {
		variables := map[string]bool{}
		for _, s := range files {
			for _, name := range packageVariables(s.code) {
				variables[name] = true
			}
		}
		for _, s := range files {
			for _, name := range emptyVariables(s) {
				t.Errorf("%s: the package's variable %s has no value: where is it set?", s.name, name)
			}
			for _, decl := range s.code.Decls {
				f, ok := decl.(*ast.FuncDecl)
				if !ok {
					continue
				}
				if f.Recv == nil && f.Name.Name == "init" {
					t.Errorf("%s has an init function", s.name)
				}
				for _, name := range assignedVariables(f, variables) {
					t.Errorf("%s: %s changes the package's variable %s", s.name, f.Name.Name, name)
				}
			}
		}
	}
}

func packageVariables(file *ast.File) []string {
	var names []string
	for _, decl := range file.Decls {
		general, ok := decl.(*ast.GenDecl)
		if !ok || general.Tok != token.VAR {
			continue
		}
		for _, spec := range general.Specs {
			for _, name := range spec.(*ast.ValueSpec).Names {
				if name.Name != "_" {
					names = append(names, name.Name)
				}
			}
		}
	}
	return names
}

// emptyVariables finds variables of the package without a first value: such a thing is only useful when something is put
// into it later. What the build puts there (go:embed, the linker's version) is no state.
func emptyVariables(s source) []string {
	var names []string
	for _, decl := range s.code.Decls {
		general, ok := decl.(*ast.GenDecl)
		if !ok || general.Tok != token.VAR || embeds(general.Doc) {
			continue
		}
		for _, spec := range general.Specs {
			value := spec.(*ast.ValueSpec)
			linker := s.name == "cmd/hydrastore/main.go" && value.Names[0].Name == "version"
			if len(value.Values) == 0 && !embeds(value.Doc) && !linker {
				names = append(names, value.Names[0].Name)
			}
		}
	}
	return names
}

func embeds(doc *ast.CommentGroup) bool {
	return doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") })
}

// assignedVariables finds assignments to variables of the package, or to what they hold. A name that the function also
// declares is taken for its own.
func assignedVariables(f *ast.FuncDecl, variables map[string]bool) []string {
	own := map[string]bool{}
	var assigned []string
	target := func(e ast.Expr) {
		if id := root(e); id != nil && variables[id.Name] {
			assigned = append(assigned, id.Name)
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			for _, name := range n.Names {
				own[name.Name] = true
			}
		case *ast.ValueSpec:
			for _, name := range n.Names {
				own[name.Name] = true
			}
		case *ast.AssignStmt:
			for _, e := range n.Lhs {
				if id, ok := e.(*ast.Ident); ok && n.Tok == token.DEFINE {
					own[id.Name] = true
				} else {
					target(e)
				}
			}
		case *ast.RangeStmt:
			for _, e := range []ast.Expr{n.Key, n.Value} {
				if id, ok := e.(*ast.Ident); ok && n.Tok == token.DEFINE {
					own[id.Name] = true
				}
			}
		case *ast.IncDecStmt:
			target(n.X)
		}
		return true
	})
	return slices.DeleteFunc(assigned, func(name string) bool { return own[name] })
}

// root is the variable at the bottom of a.b[c].d.
func root(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return nil
		}
	}
}
