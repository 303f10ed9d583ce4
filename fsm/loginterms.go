package fsm

import (
	"slices"
	"strings"

	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// LoginTerms are what a node needs to know of a policy before it writes a log-in. The command says what the node knew, and apply refuses it where
// the policy says something else by then, so an answer that is out of date does no harm.
type LoginTerms struct {
	Policy     string // its name
	KeyFormat  session.KeyFormat
	Attributes session.AttributesPlace
}

// LoginTerms tells under which terms the user logs in to the named policy; "" = its first one.
func (m *Machine) LoginTerms(user, policy string) LoginTerms {
	return reading(m, func(s *state) LoginTerms {
		if policy == "" {
			if slot := s.findUser(user); slot != 0 {
				if own := s.arena.get(s.users.recs.at(slot).policies); len(own) > 0 {
					return termsOf(s.policies.byIndex[own[0]].Policy)
				}
			}
			policy = session.DefaultPolicyName
		}
		if _, p := s.policies.find(policy); p != nil {
			return termsOf(p.Policy)
		}
		return termsOf(session.DefaultPolicy())
	})
}

func termsOf(p session.Policy) LoginTerms {
	return LoginTerms{Policy: p.Name, KeyFormat: p.KeyFormat, Attributes: p.Attributes}
}

// judgeTerms refuses a log-in whose node knew other terms than the policy's. Nobody is turned away by that: it comes again.
func (s *state) judgeTerms(c *fsmpb.CreateSession, l *login) (fsmpb.Code, string) {
	p := s.policies.byIndex[l.policy]
	local := p.Attributes == session.AttributesLocal
	switch {
	case keyFormat(c.KeyFormat) != p.KeyFormat:
		return fsmpb.Code_CODE_CONFLICT, "key_format"
	case c.AttributesLocal != local:
		return fsmpb.Code_CODE_CONFLICT, "attributes_local"
	case local && slices.ContainsFunc(c.Attributes, func(a *fsmpb.Attribute) bool { return !isReserved(a.Name) }):
		return fsmpb.Code_CODE_INVALID, "attributes"
	}
	return fsmpb.Code_CODE_OK, ""
}

// fieldReplaces is that of a log-in whose node has taken attributes along that were changed since.
const fieldReplaces = "replaces"

// TookAlongOlder tells whether a log-in was refused because its node has taken attributes along that were changed since, so that it has to come again.
func TookAlongOlder(r *fsmpb.Result) bool {
	return r.Code == fsmpb.Code_CODE_CONFLICT && r.Field == fieldReplaces
}

// OnOtherTerms tells whether a log-in was refused because its policy has other terms than its node knew, so that it has to come again.
func OnOtherTerms(r *fsmpb.Result) bool {
	return r.Code == fsmpb.Code_CODE_CONFLICT && (r.Field == "key_format" || r.Field == "attributes_local")
}

func isReserved(name string) bool { return strings.HasPrefix(name, session.ReservedAttributePrefix) }

// onlyReserved leaves the attributes of a blob that are not reserved out.
func onlyReserved(blob []byte) (out []byte) {
	for len(blob) > 0 {
		var name, value []byte
		if name, value, blob = cutAttribute(blob); isReserved(string(name)) {
			out = appendAttribute(out, string(name), value)
		}
	}
	return out
}

func attributesPlace(local bool) session.AttributesPlace {
	if local {
		return session.AttributesLocal
	}
	return session.AttributesShared
}
