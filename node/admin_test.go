package node_test

import (
	"testing"

	"github.com/hydrastore/hydrastore/session"
)

// TestInvitationsThatCannotWork are refused as the caller's mistakes, not as defects of the node.
func TestInvitationsThatCannotWork(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 1, nil)
	admin := c.admin(0)
	cases := []struct {
		address string
		want    session.Code
	}{
		{"", session.CodeInvalid}, {"nowhere", session.CodeInvalid}, {":8701", session.CodeInvalid}, {"127.0.0.1:0", session.CodeInvalid},
		{"127.0.0.1:99999", session.CodeInvalid}, {"[::1", session.CodeInvalid}, {freeAddress(t), session.CodeConflict},
	}
	for _, invite := range cases {
		if _, err := c.nodes[0].AddMember(t.Context(), admin, invite.address); session.CodeOf(err) != invite.want {
			t.Errorf("invite %q: %v, want %s", invite.address, err, invite.want)
		}
	}
}
