package node

import (
	"slices"
	"time"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// view gives the public form of a record.
func view(r fsm.Record) session.Session {
	return session.Session{
		ID: r.ID, Number: r.Number, User: r.User, Policy: r.Policy,
		CreatedAt: instant(r.CreatedMS), LastUsedAt: instant(r.LastUseMS), ExpiresAt: expiresAt(r),
		IdleTimeout: milliseconds(r.IdleMS), ClientAddress: r.Address, UserAgent: r.UserAgent, AttributesVersion: r.AttributesVersion,
	}
}

// checked gives the public form of a record with its roles and attributes.
func checked(r fsm.Record, m session.Meta) session.Checked {
	return session.Checked{Session: view(r), Roles: slices.Clone(r.Roles), Attributes: attributes(r.Attributes), Meta: m}
}

func attributes(list []fsm.Attribute) session.Attributes {
	out := make(session.Attributes, len(list))
	for _, a := range list {
		out[a.Name] = a.Value
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

func writerTo(w session.AttributesWriter) fsmpb.AttributesWriter {
	if w == session.WriteByBearer {
		return fsmpb.AttributesWriter_ATTRIBUTES_WRITER_BEARER
	}
	return fsmpb.AttributesWriter_ATTRIBUTES_WRITER_SERVICE
}
