package hydrastore_test

import (
	"go/ast"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// testName is how pages name a test.
var testName = regexp.MustCompile("`(Test[A-Z][A-Za-z0-9]*)`")

// TestPagesNameTestsThatExist: a test that is named as the proof of a claim is there. A renamed one would leave the claim without.
func TestPagesNameTestsThatExist(t *testing.T) {
	t.Parallel()
	there := map[string]bool{}
	for _, s := range sources(t) {
		for _, d := range s.code.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && s.test {
				there[f.Name.Name] = true
			}
		}
	}
	found := 0
	err := filepath.WalkDir("docs", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(name) != ".md" {
			return err
		}
		text, err := os.ReadFile(name)
		for _, m := range testName.FindAllStringSubmatch(string(text), -1) {
			found++
			if !there[m[1]] {
				t.Errorf("%s names %s, which is no test", name, m[1])
			}
		}
		return err
	})
	if err != nil || found < 100 {
		t.Errorf("%d names of tests in the pages, %v", found, err)
	}
}

// TestEachLineOfTheSecurityTablesHasItsAnswer: every requirement says who meets it, and where that is Hydrastore, a test shows it.
func TestEachLineOfTheSecurityTablesHasItsAnswer(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	_, tables, found := strings.Cut(string(text), "## OWASP ASVS 5.0, V7")
	lines, chapter7, sheet := 0, 0, 0
	for line := range strings.Lines(tables) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) < 4 || strings.Contains(line, "---") || strings.Contains(cells[0], "id") || strings.Contains(cells[0], "#") {
			continue
		}
		lines++
		id, who, how := strings.TrimSpace(cells[0]), strings.TrimSpace(cells[len(cells)-2]), cells[len(cells)-1]
		switch {
		case strings.HasPrefix(id, "7."):
			chapter7++
		case strings.HasPrefix(id, "C"):
			sheet++
		}
		if !strings.Contains(" H A HA O – ", " "+who+" ") {
			t.Errorf("%s: %q is nobody who can meet it", id, who)
		}
		if strings.Contains(who, "H") && !testName.MatchString(how) && !strings.Contains(how, "as 7.") {
			t.Errorf("%s: no test shows it", id)
		}
	}
	if !found || chapter7 != 19 || sheet != 20 || lines < 60 {
		t.Errorf("the tables have %d lines, %d of V7 and %d of the cheat sheet; want all 19 and 20", lines, chapter7, sheet)
	}
}
