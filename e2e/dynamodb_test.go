package e2e_test

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/hydrastore/hydrastore/backend/dynamodb/dynalitetest"
)

// TestTwoNodesOverOneDynamoDB: the table is made by the command, with what both nodes are told known to both.
func TestTwoNodesOverOneDynamoDB(t *testing.T) {
	t.Parallel()
	if err := dynalitetest.Available(); err != nil {
		if os.Getenv("HYDRASTORE_E2E") == "require" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	server, err := dynalitetest.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	secret := "HYDRASTORE_TOKENIZER_AWS_SECRET_KEY=secret-of-the-test"
	made := command{args: []string{
		"backend", "create-table", "--tokenizer-type", "dynamodb", "--tokenizer-table", "session_tokens", "--tokenizer-aws-region-name", "eu-west-1",
		"--tokenizer-aws-access-key", "key", "--tokenizer-endpoint", server.Endpoint,
	}, environ: []string{secret}}.run(t)
	// The server of the tests has no time to live to turn on, which the command must not hide.
	if !strings.Contains(made.stdout, "session_tokens serves") || made.code != 1 || !strings.Contains(made.stderr, "time to live") {
		t.Errorf("create-table: exit code %d\n%s\n%s", made.code, made.stdout, made.stderr)
	}
	c := startCluster(t, 2, func(_ int, settings fields) {
		stateless(settings, fields{
			"type": "dynamodb", "table": "session_tokens", "aws_region_name": "eu-west-1", "aws_access_key": "key",
			"aws_secret_key": "secret-of-the-test", "endpoint": server.Endpoint,
		})
	})
	service := c.service(c.admin())
	issued := c.must(0, http.StatusCreated, vouch(service, "ada", nil)).body
	if got := c.must(1, http.StatusOK, check(issued.Key)).body; got.ID != issued.ID {
		t.Errorf("at the other node: got session %q, want %q", got.ID, issued.ID)
	}
	c.must(1, http.StatusNoContent, logOut(issued.Key))
	c.must(0, http.StatusUnauthorized, check(issued.Key))
	for _, n := range c.nodes {
		if strings.Contains(n.log(), "secret-of-the-test") {
			t.Errorf("the log of %s holds the secret key", n.name)
		}
	}
}
