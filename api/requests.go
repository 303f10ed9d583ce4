package api

import (
	"net/netip"

	"github.com/hydrastore/hydrastore/api/internal/strictjson"
	"github.com/hydrastore/hydrastore/session"
)

func decodeLogin(body []byte) (session.Login, error) {
	var l session.Login
	var password, clientIP *string
	err := decodeMembers(body, "user",
		text("user", &l.User),
		optional(text, "password", &password),
		text("policy", &l.Policy),
		boolean("permanent", &l.Permanent),
		optional(seconds, "idle_timeout_s", &l.IdleTimeout),
		attributes("attributes", &l.Attributes),
		attributes("sealed_attributes", &l.Sealed),
		optional(text, "client_ip", &clientIP),
		text("user_agent", &l.UserAgent),
	)
	if err != nil {
		return l, err
	}
	if len(l.UserAgent) > session.MaxUserAgentBytes {
		return l, session.TooLarge("user_agent", "has at most %d bytes", session.MaxUserAgentBytes)
	}
	if l.Vouched = password == nil; !l.Vouched {
		l.Password = *password
	}
	l.ClientAddress, err = optionalAddress("client_ip", clientIP)
	return l, err
}

func decodeProof(body []byte) (session.Proof, error) {
	var password *string
	if err := decodeMembers(body, "", optional(text, "password", &password)); err != nil || password == nil {
		return session.Proof{Vouched: true}, err
	}
	return session.Proof{Password: *password}, nil
}

func optionalAddress(field string, text *string) (netip.Addr, error) {
	if text == nil {
		return netip.Addr{}, nil
	}
	return parseAddress(field, *text)
}

func decodeAttributePatch(body []byte) (session.AttributePatch, error) {
	patch := make(session.AttributePatch)
	err := strictjson.ReadObject(body, func(name string, v strictjson.Value) error {
		patch[name] = v.Raw()
		return nil
	})
	return patch, err
}

func decodeNewUser(body []byte) (session.NewUser, error) {
	var u session.NewUser
	err := decodeMembers(body, "user",
		text("user", &u.Name),
		text("password", &u.Password),
		roles("roles", &u.Roles),
		texts("policies", &u.Policies),
		boolean("disabled", &u.Disabled),
		boolean("md5_login", &u.MD5Login),
	)
	return u, err
}

func decodeUserChange(body []byte) (session.UserChange, error) {
	var ch session.UserChange
	err := decodeMembers(body, "",
		optional(text, "password", &ch.Password),
		optional(text, "current_password", &ch.CurrentPassword),
		optional(roles, "roles", &ch.Roles),
		optional(texts, "policies", &ch.Policies),
		optional(boolean, "disabled", &ch.Disabled),
		optional(boolean, "md5_login", &ch.MD5Login),
		boolean("end_permanent", &ch.EndPermanent),
	)
	return ch, err
}

func decodePolicyChange(body []byte) (session.PolicyChange, error) {
	var ch session.PolicyChange
	var place, write, bind, format, onLimit *string
	err := decodeMembers(body, "",
		optional(seconds, "idle_timeout_s", &ch.IdleTimeout),
		optional(seconds, "absolute_lifetime_s", &ch.AbsoluteLifetime),
		optional(seconds, "touch_window_s", &ch.TouchWindow),
		optional(text, "attributes", &place),
		optional(text, "attributes_write", &write),
		optional(seconds, "inactivity_timeout_s", &ch.InactivityTimeout),
		optional(boolean, "no_tickle", &ch.NoTickle),
		optional(text, "bind_address", &bind),
		optional(boolean, "permanent_allowed", &ch.PermanentAllowed),
		optional(boolean, "longer_idle_allowed", &ch.LongerIdleAllowed),
		optional(seconds, "rotate_grace_s", &ch.RotateGrace),
		optional(text, "key_format", &format),
		optional(whole, "max_sessions_per_user", &ch.MaxSessionsPerUser),
		optional(whole, "max_sessions_per_address", &ch.MaxSessionsPerAddress),
		optional(whole, "max_sessions", &ch.MaxSessions),
		optional(text, "on_limit", &onLimit),
		optional(boolean, "single_session", &ch.SingleSession),
		optional(boolean, "permanent_counted", &ch.PermanentCounted),
	)
	if ch.TouchWindow != nil && *ch.TouchWindow == touchWindowDefault {
		*ch.TouchWindow = session.TouchWindowAuto
	}
	ch.Attributes = (*session.AttributesPlace)(place)
	ch.AttributesWrite, ch.OnLimit = (*session.AttributesWriter)(write), (*session.OnLimit)(onLimit)
	ch.BindAddress, ch.KeyFormat = (*session.AddressBinding)(bind), (*session.KeyFormat)(format)
	return ch, err
}

func decodeLimitsChange(body []byte) (session.ClusterLimitsChange, error) {
	var ch session.ClusterLimitsChange
	var onLimit *string
	err := decodeMembers(body, "", optional(whole, "max_sessions", &ch.MaxSessions), optional(text, "on_limit", &onLimit))
	ch.OnLimit = (*session.OnLimit)(onLimit)
	return ch, err
}

func decodeNewMember(body []byte) (peerAddress string, err error) {
	err = decodeMembers(body, "peer_address", text("peer_address", &peerAddress))
	return peerAddress, err
}

func decodeLeaderTransfer(body []byte) (nodeID string, err error) {
	err = decodeMembers(body, "", text("id", &nodeID))
	return nodeID, err
}
