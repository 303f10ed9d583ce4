package ownsessions_test

import (
	"strings"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

// TestLimitsThatNobodyHolds: what only a whole cluster could count is refused.
func TestLimitsThatNobodyHolds(t *testing.T) {
	t.Parallel()
	shared := &clock{begun: time.Now()}
	a := startCluster(t, 1, shared)[0]
	for what, ch := range map[string]session.PolicyChange{
		"by address": {LimitsChange: session.LimitsChange{MaxSessionsPerAddress: ptr(1)}},
		"in total":   {LimitsChange: session.LimitsChange{MaxSessions: ptr(1)}},
		"too high":   {LimitsChange: session.LimitsChange{MaxSessionsPerUser: ptr(1001)}},
	} {
		_, put := a.PutPolicy(t.Context(), operator, "web", ch)
		_, patched := a.PatchPolicy(t.Context(), operator, session.DefaultPolicyName, ch)
		if session.CodeOf(put) != session.CodeInvalid || session.CodeOf(patched) != session.CodeInvalid || !strings.Contains(put.Error(), "sessionPersistence") {
			t.Errorf("%s: put %v, patched %v", what, put, patched)
		}
	}
	if _, err := a.PatchLimits(t.Context(), operator, session.ClusterLimitsChange{MaxSessions: ptr(5)}); session.CodeOf(err) != session.CodeInvalid {
		t.Errorf("of the cluster: %v", err)
	}
	if _, err := a.PatchLimits(t.Context(), operator, session.ClusterLimitsChange{MaxSessions: ptr(0)}); err != nil {
		t.Errorf("no limit: %v", err)
	}
	if _, err := a.PutPolicy(t.Context(), operator, "netx", session.PolicyChange{Attributes: ptr(session.AttributesLocal)}); err != nil {
		t.Errorf("attributes of the node: %v", err)
	}
	issued := vouchedUnder(t, a, "netx")
	if _, err := a.PatchAttributes(t.Context(), session.Call{Operator: true, Subject: &session.Presented{Key: issued.Key, Address: address}}, session.AttributePatch{"cart": []byte("[1]")}, nil); err != nil {
		t.Errorf("an attribute of the node: %v", err)
	}
	if _, err := a.DeletePolicy(t.Context(), operator, "netx"); session.CodeOf(err) != session.CodeConflict {
		t.Errorf("delete a policy that a session has: %v", err)
	}
	if _, err := a.Move(t.Context(), operator, session.MoveStep{Kind: session.MoveClose}); session.CodeOf(err) != session.CodeConflict {
		t.Errorf("move the sessions: %v", err)
	}
}

func vouchedUnder(t *testing.T, a *member, policy string) session.Issued {
	t.Helper()
	issued, err := a.Login(t.Context(), operator, session.Login{User: "zoe", Vouched: true, Policy: policy, ClientAddress: address})
	if err != nil {
		t.Fatal(err)
	}
	return issued
}
