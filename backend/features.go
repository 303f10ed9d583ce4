package backend

import "github.com/hydrastore/hydrastore/session"

// Supports tells why a home of that name cannot keep what a policy asks for; nil = it can.
func Supports(home string, p session.Policy) error { return Features{Name: home}.supports(p) }

// supports refuses a policy that asks for what no decision on one record can keep. What would be counted wrongly is not counted at all.
func (f Features) supports(p session.Policy) error {
	switch {
	case p.MaxSessionsPerAddress > 0:
		return f.refusal("max_sessions_per_address", p.Name, "a limit on the sessions of one address")
	case p.MaxSessions > 0:
		return f.refusal("max_sessions", p.Name, "a limit on all sessions of a policy")
	case p.Attributes == session.AttributesLocal:
		return session.Invalid("attributes", "policy %q asks for attributes in one node's memory, and there is none where sessions are kept in %s: write shared, or use tokenizer.type raft", p.Name, f.Name)
	case p.MaxSessionsPerUser > MaxSessionsOfUser:
		return session.Invalid("max_sessions_per_user", "policy %q: at most %d where sessions are kept in %s", p.Name, MaxSessionsOfUser, f.Name)
	}
	return nil
}

func (f Features) refusal(field, policy, what string) error {
	return session.Invalid(field, "policy %q asks for %s, which cannot be held exactly where sessions are kept in %s: leave it out (0), or use tokenizer.type raft", policy, what, f.Name)
}
