package backendtest_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/backend/backendtest"
	"github.com/hydrastore/hydrastore/backend/local"
	"github.com/hydrastore/hydrastore/backend/memory"
	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/session"
)

// TestCredentialsStandInNoFile searches what nodes and a server with a folder have on their disks after credentials came to them in every way.
func TestCredentialsStandInNoFile(t *testing.T) {
	t.Parallel()
	t.Run("raft", func(t *testing.T) {
		t.Parallel()
		var dirs []string
		outlast := func(c *node.Config) {
			c.Cluster.Dir = t.TempDir()
			dirs = append(dirs, c.Cluster.Dir)
			c.Audit.File, c.Audit.Nodes = filepath.Join(c.Cluster.Dir, "audit.log"), "all"
		}
		t.Run("use", func(t *testing.T) { backendtest.UseCredentials(t, startCluster(t, 3, outlast)) })
		if len(dirs) != 3 {
			t.Fatalf("%d folders", len(dirs))
		}
		for _, dir := range dirs {
			searchFolder(t, dir)
		}
	})
	t.Run("local", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		t.Run("use", func(t *testing.T) {
			backendtest.UseCredentials(t, backendtest.ServiceHarness{Services: backendtest.StartAll(t, func() (backend.Store, error) {
				return local.Open(local.Config{Path: dir})
			})})
		})
		searchFolder(t, dir)
	})
}

// searchFolder wants no file to hold credentials, and some file to hold what was written beside them.
func searchFolder(t *testing.T, dir string) {
	t.Helper()
	open := false
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		open = open || bytes.Contains(data, []byte(backendtest.OpenText))
		if bytes.Contains(data, []byte(backendtest.CredentialsText)) {
			t.Errorf("%s holds credentials", path)
		}
		return err
	})
	if err != nil || !open {
		t.Errorf("the search in %s does not find what is in the clear (%v)", dir, err)
	}
}

// TestCredentialsWithoutASafePassword, and where they are not to be sealed: in the cluster and before a store.
func TestCredentialsWithoutASafePassword(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		sealing auth.Sealing
		run     func(t backendtest.T, h backendtest.ServiceHarness)
	}{
		{"no safe password", auth.Sealing{}, backendtest.RefuseCredentials},
		{"not to be sealed, no safe password", auth.Sealing{PlainCredentials: true}, backendtest.KeepCredentialsPlain},
		{"not to be sealed", auth.Sealing{PlainCredentials: true, Password: backendtest.SafePassword, Params: auth.Params{MemoryKiB: 64, Iterations: 1, Parallelism: 1}}, backendtest.KeepCredentialsPlain},
	} {
		t.Run("raft, "+c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, startCluster(t, 1, func(n *node.Config) { n.Sealing = c.sealing }))
		})
		t.Run("store, "+c.name, func(t *testing.T) {
			t.Parallel()
			config := backendtest.Config(t)
			config.Sealing = c.sealing
			store := memory.New(nil)
			a, b := backendtest.Start(t, config, store), backendtest.Start(t, config, store)
			c.run(t, backendtest.ServiceHarness{Services: []session.Service{a, b}})
		})
	}
}
