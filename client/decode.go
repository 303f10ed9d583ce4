package client

import (
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"time"

	"github.com/hydrastore/hydrastore/client/internal/wire"
	"github.com/hydrastore/hydrastore/session"
)

// read decodes the body, if to is not nil, and the Meta that stands in the headers.
func (a answer) read(to any) (session.Meta, error) {
	meta := session.Meta{Index: session.IndexToken(a.header.Get("Hydrastore-Index")), Age: -1}
	if ms, err := strconv.ParseInt(a.header.Get("Hydrastore-Age-Ms"), 10, 64); err == nil {
		meta.Age = time.Duration(ms) * time.Millisecond
	}
	if to == nil {
		return meta, nil
	}
	if err := json.Unmarshal(a.body, to); err != nil {
		return meta, unreadable(err)
	}
	return meta, nil
}

func unreadable(err error) error {
	return &session.Error{Code: session.CodeInternal, Message: "the answer cannot be read: is this a node of Hydrastore, and not too old?", Err: err}
}

func sessionOf(w wire.Session) (session.Session, error) {
	s := session.Session{
		Number: w.Number, User: w.User, Policy: w.Policy, CreatedAt: w.CreatedAt.UTC(), LastUsedAt: w.LastUsedAt.UTC(),
		IdleTimeout: max(0, duration(w.IdleTimeoutS)), Permanent: w.Permanent, Prompt: w.Prompt, AttributesVersion: w.AttributesVersion,
		AuthTime: w.AuthTime.UTC(), Methods: make([]session.Method, len(w.Methods)),
	}
	for i, method := range w.Methods {
		s.Methods[i] = session.Method(method)
	}
	if w.ExpiresAt != nil {
		s.ExpiresAt = w.ExpiresAt.UTC()
	}
	if w.UserAgent != nil {
		s.UserAgent = *w.UserAgent
	}
	var err error
	if s.ID, err = session.ParseID(w.ID); err != nil {
		return s, unreadable(err)
	}
	if w.ClientIP != nil {
		if s.ClientAddress, err = netip.ParseAddr(*w.ClientIP); err != nil {
			return s, unreadable(fmt.Errorf("read client_ip: %w", err))
		}
	}
	return s, nil
}

func rolesOf(w []wire.Role) []session.Role {
	roles := make([]session.Role, len(w))
	for i, role := range w {
		roles[i] = session.Role(role)
	}
	return roles
}

func userOf(w wire.User) session.User {
	return session.User{
		Name: w.User, Roles: rolesOf(w.Roles), Policies: w.Policies, Disabled: w.Disabled, HasPassword: w.HasPassword, MD5Login: w.Md5Login,
		Sessions: w.Sessions, CreatedAt: w.CreatedAt.UTC(), Version: w.Version,
	}
}

func policyOf(w wire.Policy) session.Policy {
	p := session.Policy{
		Name: w.Name, IdleTimeout: duration(w.IdleTimeoutS), AbsoluteLifetime: duration(w.AbsoluteLifetimeS),
		TouchWindow: duration(w.TouchWindowS), Attributes: session.AttributesPlace(w.Attributes), AttributesWrite: session.AttributesWriter(w.AttributesWrite),
		InactivityTimeout: duration(w.InactivityTimeoutS), NoTickle: w.NoTickle, BindAddress: session.AddressBinding(w.BindAddress),
		PermanentAllowed: w.PermanentAllowed, LongerIdleAllowed: w.LongerIdleAllowed, RotateGrace: duration(w.RotateGraceS), KeyFormat: session.KeyFormat(w.KeyFormat), Version: w.Version,
		PolicyLimits: session.PolicyLimits{
			MaxSessionsPerUser: w.MaxSessionsPerUser, MaxSessionsPerAddress: w.MaxSessionsPerAddress, MaxSessions: w.MaxSessions,
			OnLimit: session.OnLimit(w.OnLimit), SingleSession: w.SingleSession, PermanentCounted: w.PermanentCounted,
		},
	}
	if w.TouchWindowS < 0 {
		p.TouchWindow = session.TouchWindowAuto
	}
	return p
}

// duration reads seconds, to the millisecond.
func duration(seconds float64) time.Duration {
	return time.Duration(math.Round(seconds*1000)) * time.Millisecond
}

// inSeconds is the way back.
func inSeconds(d time.Duration) float64 {
	return math.Round(float64(d)/float64(time.Millisecond)) / 1000
}
