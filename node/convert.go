package node

import (
	"slices"
	"strings"
	"time"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// view gives the public form of a record at a moment.
func view(r fsm.Record, nowMS int64) session.Session {
	return session.Session{
		ID: r.ID, Number: r.Number, User: r.User, Policy: r.Policy,
		CreatedAt: instant(r.CreatedMS), LastUsedAt: instant(r.LastUseMS), ExpiresAt: expiresAt(r),
		IdleTimeout: milliseconds(r.IdleMS), Permanent: r.Permanent, Prompt: prompts(r, nowMS),
		ClientAddress: r.Address, UserAgent: r.UserAgent, AttributesVersion: r.AttributesVersion,
		AuthTime: instant(r.AuthMS), Methods: slices.Clone(r.Methods), Reserved: reserved(r.Attributes),
	}
}

// reserved gives the attributes that protocols keep, nil when there are none.
func reserved(list []fsm.Attribute) (out session.Attributes) {
	for _, a := range list {
		if name, is := strings.CutPrefix(a.Name, session.ReservedAttributePrefix); is {
			if out == nil {
				out = session.Attributes{}
			}
			out[name] = a.Value
		}
	}
	return out
}

// checked gives the public form of a record with its roles and attributes.
func (n *Node) checked(r fsm.Record, m session.Meta) session.Checked {
	now := n.nowMS()
	return session.Checked{
		Session: view(r, now), At: instant(now), Roles: slices.Clone(r.Roles), Rotate: r.Rotate, Attributes: n.attributesOf(r), Meta: m,
	}
}

// shown is checked with the sealed attributes, which the session's own bearer and services may see.
func (n *Node) shown(r fsm.Record, m session.Meta, openSealed bool) (session.Checked, error) {
	c := n.checked(r, m)
	if !openSealed || r.AttributesLocal || len(c.Attributes) == len(r.Attributes) {
		return c, nil
	}
	var err error
	c.Sealed, err = n.sealing.open(r.ID, r.Attributes)
	return c, err
}

// attributes gives those that are neither sealed nor reserved.
func attributes(list []fsm.Attribute) session.Attributes {
	out := make(session.Attributes, len(list))
	for _, a := range list {
		if _, _, sealed := fsm.CutSealed(a.Value); !sealed && !strings.HasPrefix(a.Name, session.ReservedAttributePrefix) {
			out[a.Name] = a.Value
		}
	}
	return out
}

func instant(ms int64) time.Time          { return time.UnixMilli(ms).UTC() }
func milliseconds(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }
func newAttributes(a session.Attributes) []*fsmpb.Attribute {
	names := make([]string, 0, len(a))
	for name := range a {
		names = append(names, name)
	}
	slices.Sort(names)
	out := make([]*fsmpb.Attribute, len(names))
	for i, name := range names {
		out[i] = &fsmpb.Attribute{Name: name, Value: a[name]}
	}
	return out
}

func roleFrom(r fsmpb.Role) session.Role {
	switch r {
	case fsmpb.Role_ROLE_SERVICE:
		return session.RoleService
	case fsmpb.Role_ROLE_ADMIN:
		return session.RoleAdmin
	default:
		return session.RoleUser
	}
}

func methodFrom(m fsmpb.Method) session.Method {
	switch m {
	case fsmpb.Method_METHOD_SERVICE:
		return session.MethodService
	case fsmpb.Method_METHOD_DIRECTORY:
		return session.MethodDirectory
	}
	return session.MethodPassword
}

func roleTo(r session.Role) fsmpb.Role {
	switch r {
	case session.RoleService:
		return fsmpb.Role_ROLE_SERVICE
	case session.RoleAdmin:
		return fsmpb.Role_ROLE_ADMIN
	default:
		return fsmpb.Role_ROLE_USER
	}
}

func rolesTo(roles []session.Role) *fsmpb.RoleList {
	list := &fsmpb.RoleList{}
	for _, r := range roles {
		list.Roles = append(list.Roles, roleTo(r))
	}
	return list
}

func bindingTo(b session.AddressBinding) fsmpb.AddressBinding {
	switch b {
	case session.BindLog:
		return fsmpb.AddressBinding_ADDRESS_BINDING_LOG
	case session.BindStrict:
		return fsmpb.AddressBinding_ADDRESS_BINDING_STRICT
	}
	return fsmpb.AddressBinding_ADDRESS_BINDING_OFF
}

func bindingFrom(b fsmpb.AddressBinding) session.AddressBinding {
	switch b {
	case fsmpb.AddressBinding_ADDRESS_BINDING_LOG:
		return session.BindLog
	case fsmpb.AddressBinding_ADDRESS_BINDING_STRICT:
		return session.BindStrict
	}
	return session.BindOff
}

func keyFormatTo(f session.KeyFormat) fsmpb.KeyFormat {
	switch f {
	case session.KeyHex32:
		return fsmpb.KeyFormat_KEY_FORMAT_HEX32
	case session.KeyHex64:
		return fsmpb.KeyFormat_KEY_FORMAT_HEX64
	case session.KeyAlnum25:
		return fsmpb.KeyFormat_KEY_FORMAT_ALNUM25
	case session.KeyWS:
		return fsmpb.KeyFormat_KEY_FORMAT_WS
	}
	return fsmpb.KeyFormat_KEY_FORMAT_NATIVE
}

func writerTo(w session.AttributesWriter) fsmpb.AttributesWriter {
	if w == session.WriteByBearer {
		return fsmpb.AttributesWriter_ATTRIBUTES_WRITER_BEARER
	}
	return fsmpb.AttributesWriter_ATTRIBUTES_WRITER_SERVICE
}

func onLimitTo(o session.OnLimit) fsmpb.OnLimit {
	switch o {
	case session.OnLimitOldest:
		return fsmpb.OnLimit_ON_LIMIT_EVICT_OLDEST
	case session.OnLimitIdle:
		return fsmpb.OnLimit_ON_LIMIT_EVICT_IDLE
	default:
		return fsmpb.OnLimit_ON_LIMIT_REFUSE
	}
}

// countTo gives a count that was validated the form that it has in the log.
func countTo(n *int) *uint32 {
	if n == nil {
		return nil
	}
	return ptr(uint32(*n))
}
