package backend

import "github.com/hydrastore/hydrastore/session"

// Supports tells why a home of that name cannot keep what a policy asks for; nil = it can.
func Supports(home string, p session.Policy) error { return Features{Name: home}.supports(p) }

// SupportsAtNode is Supports for a node of a cluster that keeps its own sessions.
func SupportsAtNode(p session.Policy) error { return Features{OneNode: true}.supports(p) }

// SupportsLimitAtNode likewise tells why a limit on all sessions of the cluster cannot be held.
func SupportsLimitAtNode(maxSessions int) error {
	return Features{OneNode: true}.supportsLimit(maxSessions)
}

// supports refuses a policy that asks for what no decision on one record can keep. What would be counted wrongly is not counted at all.
func (f Features) supports(p session.Policy) error {
	switch {
	case p.MaxSessionsPerAddress > 0:
		return f.refusal("max_sessions_per_address", p.Name, "a limit on the sessions of one address")
	case p.MaxSessions > 0:
		return f.refusal("max_sessions", p.Name, "a limit on all sessions of a policy")
	case p.Attributes == session.AttributesLocal && !f.OneNode: // there they are the node's anyway, and kept with the session
		return session.Invalid("attributes", "policy %q asks for attributes in one node's memory, and there is none where %s: write shared, or use %s", p.Name, f.place(), f.instead())
	case p.MaxSessionsPerUser > MaxSessionsOfUser:
		return session.Invalid("max_sessions_per_user", "policy %q: at most %d where %s", p.Name, MaxSessionsOfUser, f.place())
	}
	return nil
}

func (f Features) refusal(field, policy, what string) error {
	return session.Invalid(field, "policy %q asks for %s, which cannot be held exactly where %s: leave it out (0), or use %s", policy, what, f.place(), f.instead())
}

// supportsLimit refuses a limit on all sessions.
func (f Features) supportsLimit(maxSessions int) error {
	if maxSessions == 0 {
		return nil
	}
	return session.Invalid("max_sessions", "a limit on all sessions cannot be held exactly where %s: leave it out (0), or use %s", f.place(), f.instead())
}

// place says where sessions are kept, and instead what else to do, as operators write it.
func (f Features) place() string {
	if f.OneNode {
		return "each node keeps its own sessions (user.sessionPersistence: false)"
	}
	return "sessions are kept in " + f.Name
}

func (f Features) instead() string {
	if f.OneNode {
		return "user.sessionPersistence: true"
	}
	return "tokenizer.type raft"
}
