package config_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/hydrastore/hydrastore/cmd/internal/config"
)

const root = "../../.."

// TestComposeFileIsUsable: each container of docker-compose.yml gets settings that a node accepts, and they fit together.
func TestComposeFileIsUsable(t *testing.T) {
	t.Parallel()
	var compose struct {
		Services map[string]struct {
			Environment map[string]string
			DependsOn   map[string]any `yaml:"depends_on"`
		}
	}
	if err := yaml.Unmarshal(readFile(t, "docker-compose.yml"), &compose); err != nil {
		t.Fatal(err)
	}
	required := regexp.MustCompile(`\$\{(\w+):\?[^}]*\}`) // secrets that "make up" makes
	peers := map[string]bool{}
	var joins []string
	for name, service := range compose.Services {
		if !strings.HasPrefix(name, "hydrastore") {
			continue
		}
		var environ []string
		for key, value := range service.Environment {
			value = required.ReplaceAllString(value, "MDEyMzQ1Njc4OWFiY2RlZg==")
			environ = append(environ, key+"="+value)
		}
		c, err := config.Load(config.Input{Environ: environ, Hostname: hostname})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if c.Node.Name != name || c.API.Advertise != name+":8700" || c.Gossip.Advertise != name+":8702" || len(c.Gossip.Keys) != 1 || len(c.API.TrustedProxies) != 1 {
			t.Errorf("%s: got %+v", name, c)
		}
		peers[c.Peer.Advertise] = true
		joins = c.Cluster.Join
		if c.Cluster.BootstrapExpect != len(c.Cluster.Join) {
			t.Errorf("%s: expects %d servers, joins %v", name, c.Cluster.BootstrapExpect, c.Cluster.Join)
		}
	}
	for _, address := range joins {
		if !peers[address] {
			t.Errorf("the containers join %s, which is none of them: %v", address, peers)
		}
	}
	if len(peers) != 3 || len(compose.Services["haproxy"].DependsOn) != 3 {
		t.Errorf("got %d nodes, want 3 and HAProxy waiting for them", len(peers))
	}
}

// TestVariablesInDeploymentFilesExist: a setting that is renamed must be renamed there too.
func TestVariablesInDeploymentFilesExist(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Dockerfile", "docker-compose.yml", "scripts/compose-env", "docs/operations.md", "docs/configuration.md", "README.md"} {
		for _, variable := range regexp.MustCompile(`HYDRASTORE_[A-Z][A-Z_]*[A-Z]`).FindAllString(string(readFile(t, name)), -1) {
			_, err := config.Load(config.Input{Environ: []string{variable + "="}, Hostname: hostname})
			if err != nil && strings.Contains(err.Error(), "there is no such setting") {
				t.Errorf("%s names %s: %v", name, variable, err)
			}
		}
	}
}

// TestExampleInTheDocumentation: the file that people copy is accepted, but for the files of its certificates.
func TestExampleInTheDocumentation(t *testing.T) {
	t.Parallel()
	_, after, found := strings.Cut(string(readFile(t, "docs/configuration.md")), "```yaml\n")
	text, _, closed := strings.Cut(after, "```")
	if !found || !closed {
		t.Fatal("there is no example")
	}
	_, err := load(t, text, nil, nil)
	var problems config.Problems
	if !errors.As(err, &problems) {
		t.Fatalf("got %v, want the missing files as problems", err)
	}
	for _, p := range problems {
		if !strings.Contains(p.Text, "no such file") || p.Source.Line == 0 {
			t.Error(fmt.Errorf("the example: %v", p))
		}
	}
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return text
}
