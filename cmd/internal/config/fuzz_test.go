package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hydrastore/hydrastore/cmd/internal/config"
)

// FuzzLoad: whatever a file holds, Load answers with a complete configuration or with problems that name a place.
func FuzzLoad(f *testing.F) {
	for _, seed := range []string{
		"", "api: {listen: ':1'}", "- a", "api: &a {<<: *a}", "a: &a [*a]", "policies: {default: {idle_timeout_s: .nan}}", "policies: {a: {touch_window_s: 1e300}}",
		"cluster: {join: [[1]], bootstrap_expect: 99999999999999999999}", "gossip: {keys: {a: b}}", "? {a: b}\n: c", "api:\n  tls: 5\n", "log: {level: !!binary aGk=}",
		"user: {sessionPersistence: 2001-01-01}", "1: 2", "~: ~", "peer: !!set {listen}", "policies: {? [a] : b}",
	} {
		f.Add(seed)
	}
	path := filepath.Join(f.TempDir(), "hydrastore.yaml")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := config.Load(config.Input{File: path, Hostname: hostname})
		var problems config.Problems
		switch {
		case err == nil:
			if c.Node.Name == "" || c.API.Listen == "" || len(c.Policies) == 0 {
				t.Errorf("accepted, but incomplete: %+v", c)
			}
		case !errors.As(err, &problems) || len(problems) == 0:
			t.Errorf("got %v, want Problems", err)
		default:
			for _, p := range problems {
				if !strings.HasPrefix(p.String(), path) && !strings.HasPrefix(p.String(), p.Key) || p.Text == "" {
					t.Errorf("the problem names no place: %q", p)
				}
			}
		}
	})
}
