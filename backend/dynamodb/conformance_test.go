package dynamodb_test

import (
	"context"
	"os"
	"testing"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/backend/backendtest"
	"github.com/hydrastore/hydrastore/backend/dynamodb"
	"github.com/hydrastore/hydrastore/backend/dynamodb/dynalitetest"
)

func startServer(t *testing.T) *dynalitetest.Server {
	t.Helper()
	if err := dynalitetest.Available(); err != nil {
		if os.Getenv("HYDRASTORE_E2E") == "require" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	s, err := dynalitetest.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// at waits for answers longer than the default: the server runs on a machine that has much else to do.
func at(s *dynalitetest.Server) dynamodb.Config {
	return dynamodb.Config{Timeout: patience, Table: "tokens", Region: "eu-west-1", AccessKey: "test", SecretKey: "test-secret-key", Endpoint: s.Endpoint}
}

// createTable makes the table, except for its time to live, which dynalite does not have.
func createTable(t *testing.T, c dynamodb.Config) {
	t.Helper()
	if err := dynamodb.CreateTable(t.Context(), c, t.Logf); err != nil {
		t.Logf("expected of dynalite: %v", err)
	}
}

// TestContract runs the suite; each case has a table of its own.
func TestContract(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	for _, one := range backendtest.StoreCases() {
		t.Run(one.Name, func(t *testing.T) {
			t.Parallel()
			c := at(server)
			c.Table = "home" + t.Name()[len("TestContract/"):]
			c.Table = tableOf(c.Table)
			createTable(t, c)
			one.Run(t, backendtest.StoreHarness{
				Open:  func() (backend.Store, error) { return dynamodb.Open(context.WithoutCancel(t.Context()), c) },
				Keeps: true,
			})
		})
	}
}

// tableOf keeps what a table's name may have.
func tableOf(name string) string {
	var out []rune
	for _, r := range name {
		if r >= 'a' && r <= 'z' || r == '_' {
			out = append(out, r)
		}
	}
	return string(out)
}
