package node_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/node/audit"
	"github.com/hydrastore/hydrastore/session"
)

// TestSnapshotsHoldNoSecret searches data folders whose log has gone into snapshots for the keys and passwords that were used.
func TestSnapshotsHoldNoSecret(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, func(i int, config *node.Config) {
		config.Audit = audit.Config{File: filepath.Join(config.Cluster.Dir, "audit.log")}
		config.Cluster.SnapshotCommands, config.Cluster.TrailingBytes = 20, 1
	})
	const password, user = "Walnut-8-violet-harbour", "findable-user-name"
	secrets := map[string][]byte{"user's password": []byte(password), "admin's password": []byte(adminPassword)}
	keep := func(what string, key session.Key) {
		text := key.Reveal()
		raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(text, session.KeyPrefix))
		if err != nil {
			t.Fatal(err)
		}
		secrets[what], secrets[what+" as bytes"] = []byte(text), raw[:session.KeySecretBytes]
	}
	service := c.service(0)
	keep("service's key", service.Key)
	if _, err := c.nodes[0].CreateUser(t.Context(), c.admin(0), session.NewUser{Name: user, Password: password}); err != nil {
		t.Fatal(err)
	}
	keep("user's key", c.login(1, user, password).Key)
	if _, err := c.nodes[1].Login(t.Context(), from("192.0.2.9"), session.Login{User: user, Password: password + "x"}); err == nil {
		t.Fatal("a wrong password was taken")
	}
	at, err := c.nodes[0].ClusterStatus(t.Context(), operator)
	if err != nil {
		t.Fatal(err)
	}
	for range 60 {
		issued, err := c.nodes[2].Login(t.Context(), service, session.Login{User: user, Vouched: true})
		if err != nil {
			t.Fatal(err)
		}
		keep("vouched key", issued.Key)
	}
	for i := range c.nodes {
		awaitSnapshot(t, c.dirs[i], at.Applied)
		c.stop(i)
		searchFolder(t, c.dirs[i], user, secrets)
	}
}

// searchFolder fails the test when a file below dir holds a secret, or no file of its snapshots holds what must be there.
func searchFolder(t *testing.T, dir, findable string, secrets map[string][]byte) {
	t.Helper()
	inSnapshot := false
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(name)
		inSnapshot = inSnapshot || strings.Contains(name, "snapshots") && bytes.Contains(text, []byte(findable))
		for what, secret := range secrets {
			for _, form := range [][]byte{secret, []byte(hex.EncodeToString(secret)), []byte(base64.RawStdEncoding.EncodeToString(secret))} {
				if bytes.Contains(text, form) {
					t.Errorf("%s holds the %s", name, what)
				}
			}
		}
		return err
	})
	if err != nil || !inSnapshot {
		t.Errorf("%s: %v; the user's name is in a snapshot: %v", dir, err, inSnapshot)
	}
}

// findInFolder names a file below dir that holds a text, "" when none does.
func findInFolder(t *testing.T, dir, text string) (found string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(name)
		if bytes.Contains(content, []byte(text)) {
			found = name
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return found
}
