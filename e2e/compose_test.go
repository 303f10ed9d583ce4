package e2e_test

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

const (
	composeTimeout = 10 * time.Minute // builds the image, and may have to fetch others
	composeAddress = "127.0.0.1:8690" // the one that docker-compose.yml publishes
	composeProject = "hydrastore-e2e"
)

// TestComposeUp builds the image, starts the three containers and HAProxy of docker-compose.yml, logs in through it, kills a
// container, and finds the session there. It runs where a Docker engine answers.
func TestComposeUp(t *testing.T) {
	needDocker(t)
	secrets := filepath.Join(t.TempDir(), "compose.env")
	text := "HYDRASTORE_ADMIN_PASSWORD=" + adminPassword + "\nHYDRASTORE_GOSSIP_KEYS=" + base64.StdEncoding.EncodeToString(randomBytes(t, 32)) + "\n"
	if err := os.WriteFile(secrets, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	compose := func(ctx context.Context, args ...string) error {
		cmd := exec.CommandContext(ctx, "docker", append([]string{"compose", "--project-name", composeProject, "--env-file", secrets}, args...)...)
		cmd.Dir = ".."
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Logf("docker compose %v: %v\n%s", args, err, out[max(0, len(out)-8000):])
		}
		return err
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), composeTimeout)
		defer cancel()
		if t.Failed() {
			_ = compose(ctx, "logs", "--tail", "100")
		}
		if err := compose(ctx, "down", "--volumes", "--timeout", "10"); err != nil {
			t.Errorf("take the containers down: %v", err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), composeTimeout)
	defer cancel()
	if err := compose(ctx, "up", "--build", "--detach", "--wait"); err != nil {
		t.Fatal("the containers do not come up")
	}
	l := newLine(composeAddress)
	defer l.close()
	issued, err := l.expect(http.StatusCreated, logIn(adminName, adminPassword))
	if err != nil {
		t.Fatal(err)
	}
	if err := compose(ctx, "kill", "hydrastore1"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "two containers to serve the session", func() error {
		a, err := l.expect(http.StatusOK, clusterStatus(issued.body.Key))
		if err == nil && len(a.body.Members) != 3 {
			err = errors.New("it does not see three members")
		}
		return err
	})
	if err := compose(ctx, "up", "--detach", "--wait"); err != nil {
		t.Fatal("the killed container does not come back")
	}
	if _, err := l.expect(http.StatusNoContent, logOut(issued.body.Key)); err != nil {
		t.Error(err)
	}
}

// needDocker skips the test where no Docker engine answers, or docker has no compose.
func needDocker(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, question := range [][]string{{"info", "--format", "{{.ServerVersion}}"}, {"compose", "version"}} {
		err := exec.CommandContext(ctx, "docker", question...).Run()
		if err == nil {
			continue
		}
		if os.Getenv("HYDRASTORE_DOCKER") == "require" {
			t.Fatalf("no Docker engine with compose answers: docker %s: %v", question[0], err)
		}
		t.Skipf("no Docker engine with compose answers (docker %s: %v); HYDRASTORE_DOCKER=require makes this a failure", question[0], err)
	}
}
