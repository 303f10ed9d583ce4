package dynamodb_test

import (
	"testing"

	"github.com/hydrastore/hydrastore/backend/backendtest"
)

func TestMove(t *testing.T) {
	t.Parallel()
	c := at(startServer(t))
	c.Table = tableOf(t.Name())
	createTable(t, c)
	backendtest.MoveThrough(t, open(t, c))
}

func TestMoveOfMuchPast(t *testing.T) {
	t.Parallel()
	c := at(startServer(t))
	c.Table = tableOf(t.Name())
	createTable(t, c)
	backendtest.MovePast(t, open(t, c))
}
