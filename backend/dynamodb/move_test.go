package dynamodb_test

import (
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/backend/backendtest"
)

func TestMove(t *testing.T) {
	t.Parallel()
	c := at(startServer(t))
	c.Table = tableOf(t.Name())
	c.Timeout = 5 * time.Second // of a machine that has much else to do
	createTable(t, c)
	backendtest.MoveThrough(t, open(t, c))
}
