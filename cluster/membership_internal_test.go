package cluster

import "testing"

// TestTombstoneAloneDoesNotRetire: a voter whose removal is begun goes on voting
// until the configuration has changed. Else a crash of the leader in between
// could leave the others without a majority for ever.
func TestTombstoneAloneDoesNotRetire(t *testing.T) {
	t.Parallel()
	c := openAlone(t, 1)
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	awaitLeading(t, c)
	c.table.remove(c.NodeID())
	if _, removed := c.present(t.Context()); removed {
		t.Error("a node that is still in the configuration takes itself for removed")
	}
}
