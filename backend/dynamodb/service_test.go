package dynamodb_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/backend/backendtest"
	"github.com/hydrastore/hydrastore/backend/dynamodb"
)

// TestService runs the suite of session.Service; each case has a table of its own.
func TestService(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	for _, one := range backendtest.ServiceCases() {
		t.Run(one.Name, func(t *testing.T) {
			t.Parallel()
			c := at(server)
			c.Table = tableOf(t.Name())
			createTable(t, c)
			var passed atomic.Int64
			one.Run(t, backendtest.ServiceHarness{
				Services: backendtest.StartAll(t, func() (backend.Store, error) {
					s, err := dynamodb.Open(context.WithoutCancel(t.Context()), c)
					if err != nil {
						return nil, err
					}
					return backendtest.Later(s, &passed), nil
				}),
				Advance: func(d time.Duration) { passed.Add(int64(d)) },
			})
		})
	}
}
