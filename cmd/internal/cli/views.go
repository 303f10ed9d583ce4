package cli

import (
	"strconv"
	"strings"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

// The shapes of -o json: the words of the API, so that a script reads both alike.

type sessionView struct {
	ID                string     `json:"id"`
	Number            uint64     `json:"number"`
	User              string     `json:"user"`
	Policy            string     `json:"policy"`
	CreatedAt         time.Time  `json:"created_at"`
	LastUsedAt        time.Time  `json:"last_used_at"`
	ExpiresAt         *time.Time `json:"expires_at"`
	IdleTimeout       float64    `json:"idle_timeout_s"`
	Permanent         bool       `json:"permanent"`
	Prompt            bool       `json:"prompt"`
	ClientIP          string     `json:"client_ip,omitempty"`
	UserAgent         string     `json:"user_agent,omitempty"`
	AttributesVersion uint64     `json:"attributes_version"`

	AuthTime time.Time        `json:"auth_time"`
	Methods  []session.Method `json:"methods"`
}

type checkedView struct {
	sessionView
	Roles      []session.Role     `json:"roles"`
	Rotate     bool               `json:"rotate"`
	Attributes session.Attributes `json:"attributes"`
}

type userView struct {
	User        string         `json:"user"`
	Roles       []session.Role `json:"roles"`
	Policies    []string       `json:"policies"`
	Disabled    bool           `json:"disabled"`
	HasPassword bool           `json:"has_password"`
	MD5Login    bool           `json:"md5_login"`
	Sessions    int            `json:"sessions"`
	CreatedAt   time.Time      `json:"created_at"`
	Version     uint64         `json:"version"`
}

type policyView struct {
	Name                 string                   `json:"name"`
	IdleTimeout          float64                  `json:"idle_timeout_s"`
	AbsoluteLifetime     float64                  `json:"absolute_lifetime_s"`
	TouchWindow          float64                  `json:"touch_window_s"`
	EffectiveTouchWindow float64                  `json:"effective_touch_window_s"`
	Attributes           session.AttributesPlace  `json:"attributes"`
	AttributesWrite      session.AttributesWriter `json:"attributes_write"`
	InactivityTimeout    float64                  `json:"inactivity_timeout_s"`
	NoTickle             bool                     `json:"no_tickle"`
	BindAddress          session.AddressBinding   `json:"bind_address"`
	PermanentAllowed     bool                     `json:"permanent_allowed"`
	LongerIdleAllowed    bool                     `json:"longer_idle_allowed"`
	RotateGrace          float64                  `json:"rotate_grace_s"`
	KeyFormat            session.KeyFormat        `json:"key_format"`
	MaxPerUser           int                      `json:"max_sessions_per_user"`
	MaxPerAddress        int                      `json:"max_sessions_per_address"`
	MaxSessions          int                      `json:"max_sessions"`
	OnLimit              session.OnLimit          `json:"on_limit"`
	SingleSession        bool                     `json:"single_session"`
	PermanentCounted     bool                     `json:"permanent_counted"`
	Version              uint64                   `json:"version"`
}

type limitsView struct {
	MaxSessions int             `json:"max_sessions"`
	OnLimit     session.OnLimit `json:"on_limit"`
	Version     uint64          `json:"version"`
}

type listView[T any] struct {
	Items      []T     `json:"items"`
	NextCursor *string `json:"next_cursor"`
	// SessionsNode names the node whose sessions alone it speaks of, or several that were asked one after the other; "" = all of the cluster's.
	SessionsNode string `json:"sessions_node,omitempty"`
}

type revokedView struct {
	Revoked      int    `json:"revoked"`
	SessionsNode string `json:"sessions_node,omitempty"`
}

type clusterView struct {
	ClusterID   string       `json:"cluster_id"`
	NodeID      string       `json:"node_id"`
	LeaderID    *string      `json:"leader_id"`
	Term        uint64       `json:"term"`
	CommitIndex uint64       `json:"commit_index"`
	Applied     uint64       `json:"applied_index"`
	FormatLevel uint32       `json:"format_level"`
	Time        time.Time    `json:"time"`
	Sessions    int          `json:"sessions"`
	SessionsOf  string       `json:"sessions_node,omitempty"`
	Healthy     bool         `json:"healthy"`
	Failures    int          `json:"failures_tolerated"`
	Members     []memberView `json:"members"`
}

type memberView struct {
	ID            string   `json:"id"`
	Name          string   `json:"name"`
	PeerAddress   string   `json:"peer_address"`
	APIAddress    string   `json:"api_address"`
	GossipAddress string   `json:"gossip_address"`
	Role          string   `json:"role"`
	Healthy       bool     `json:"healthy"`
	State         string   `json:"state"`
	Applied       *uint64  `json:"applied_index"`
	Lag           *uint64  `json:"lag"`
	LastContact   *float64 `json:"last_contact_s"`
	Version       string   `json:"version"`
	FormatLevel   uint32   `json:"format_level"`
}

// viewOf* turn the domain's values into those shapes.

func viewOfSession(s session.Session) sessionView {
	v := sessionView{
		ID: s.ID.String(), Number: s.Number, User: s.User, Policy: s.Policy, CreatedAt: s.CreatedAt.UTC(), LastUsedAt: s.LastUsedAt.UTC(),
		IdleTimeout: s.IdleTimeout.Seconds(), Permanent: s.Permanent, Prompt: s.Prompt, UserAgent: s.UserAgent, AttributesVersion: s.AttributesVersion,
		AuthTime: s.AuthTime.UTC(), Methods: s.Methods,
	}
	if s.Permanent {
		v.IdleTimeout = -1
	}
	if !s.ExpiresAt.IsZero() {
		at := s.ExpiresAt.UTC()
		v.ExpiresAt = &at
	}
	if s.ClientAddress.IsValid() {
		v.ClientIP = s.ClientAddress.String()
	}
	return v
}

func viewOfChecked(c session.Checked) checkedView {
	return checkedView{sessionView: viewOfSession(c.Session), Roles: c.Roles, Rotate: c.Rotate, Attributes: c.Attributes}
}

func viewOfUser(u session.User) userView {
	return userView{
		User: u.Name, Roles: u.Roles, Policies: u.Policies, Disabled: u.Disabled, HasPassword: u.HasPassword, MD5Login: u.MD5Login, Sessions: u.Sessions,
		CreatedAt: u.CreatedAt.UTC(), Version: u.Version,
	}
}

func viewOfPolicy(p session.Policy) policyView {
	window := p.TouchWindow.Seconds()
	if p.TouchWindow == session.TouchWindowAuto {
		window = -1
	}
	return policyView{
		Name: p.Name, IdleTimeout: p.IdleTimeout.Seconds(), AbsoluteLifetime: p.AbsoluteLifetime.Seconds(), TouchWindow: window,
		EffectiveTouchWindow: p.EffectiveTouchWindow().Seconds(), Attributes: p.Attributes, AttributesWrite: p.AttributesWrite, InactivityTimeout: p.InactivityTimeout.Seconds(),
		NoTickle: p.NoTickle, BindAddress: p.BindAddress, PermanentAllowed: p.PermanentAllowed, LongerIdleAllowed: p.LongerIdleAllowed, RotateGrace: p.RotateGrace.Seconds(), KeyFormat: p.KeyFormat, Version: p.Version,
		MaxPerUser: p.MaxSessionsPerUser, MaxPerAddress: p.MaxSessionsPerAddress, MaxSessions: p.MaxSessions,
		OnLimit: p.OnLimit, SingleSession: p.SingleSession, PermanentCounted: p.PermanentCounted,
	}
}

func viewOfCluster(s session.ClusterStatus) clusterView {
	v := clusterView{
		ClusterID: s.ClusterID, NodeID: s.NodeID, Term: s.Term, CommitIndex: s.CommitIndex, Applied: s.Applied, FormatLevel: s.FormatLevel,
		Time: s.Time.UTC(), Sessions: s.Sessions, SessionsOf: s.SessionsOf, Healthy: s.Healthy, Failures: s.Failures, Members: []memberView{},
	}
	if s.LeaderID != "" {
		v.LeaderID = &s.LeaderID
	}
	for _, m := range s.Members {
		v.Members = append(v.Members, viewOfMember(m))
	}
	return v
}

func viewOfMember(m session.Member) memberView {
	v := memberView{
		ID: m.ID, Name: m.Name, PeerAddress: m.PeerAddress, APIAddress: m.APIAddress, GossipAddress: m.GossipAddress, Role: m.Role,
		Healthy: m.Healthy, State: m.State, Version: m.Version, FormatLevel: m.FormatLevel,
	}
	if m.Applied > 0 {
		v.Applied, v.Lag = &m.Applied, &m.Lag
	}
	if m.LastContact >= 0 {
		seconds := m.LastContact.Seconds()
		v.LastContact = &seconds
	}
	return v
}

// Tables for people.

func sessionTable(items []session.Session) *table {
	t := &table{head: []string{"id", "user", "number", "policy", "created", "last used", "expires", "client"}}
	for _, s := range items {
		client := ""
		if s.ClientAddress.IsValid() {
			client = s.ClientAddress.String()
		}
		t.add(s.ID.String(), s.User, strconv.FormatUint(s.Number, 10), s.Policy, instant(s.CreatedAt), instant(s.LastUsedAt), instant(s.ExpiresAt), client)
	}
	return t
}

func checkedTable(c session.Checked) *table {
	t := &table{}
	client := ""
	if c.ClientAddress.IsValid() {
		client = c.ClientAddress.String()
	}
	t.add("user", c.User)
	t.add("roles", roleList(c.Roles))
	t.add("session", c.ID.String())
	t.add("number", strconv.FormatUint(c.Number, 10))
	t.add("policy", c.Policy)
	t.add("created", instant(c.CreatedAt))
	t.add("last used", instant(c.LastUsedAt))
	t.add("proved", provedText(c.Session))
	t.add("expires", instant(c.ExpiresAt))
	t.add("idle timeout", idleText(c.Session))
	t.add("client", client)
	t.add("user agent", c.UserAgent)
	t.add("attributes", attributesText(c.Attributes))
	if c.Rotate {
		t.foot = "rotate it: there is another key for this session, or its user's roles have changed"
	}
	return t
}

// idleText is a session's idle timeout for people.
func idleText(s session.Session) string {
	if s.Permanent {
		return "permanent"
	}
	return span(s.IdleTimeout)
}

// provedText tells when and how a session's user proved who it is.
func provedText(s session.Session) string {
	text := instant(s.AuthTime)
	for i, method := range s.Methods {
		if i == 0 {
			text += " by "
		} else {
			text += ", "
		}
		text += string(method)
	}
	return text
}

func userTable(items []session.User, nodes ...string) *table {
	t := &table{head: []string{"user", "roles", "policies", "state", "password", "sessions", "created"}, foot: ofNodes("these are the numbers of sessions", nodes...)}
	for _, u := range items {
		state, password := "enabled", "none"
		if u.Disabled {
			state = "disabled"
		}
		if u.HasPassword {
			password = "set"
		}
		if u.MD5Login {
			password += ", md5"
		}
		t.add(u.Name, roleList(u.Roles), strings.Join(u.Policies, ","), state, password, strconv.Itoa(u.Sessions), instant(u.CreatedAt))
	}
	return t
}

func policyTable(items []session.Policy) *table {
	t := &table{head: []string{"policy", "idle timeout", "absolute lifetime", "inactivity timeout", "touch window", "address", "permanent"}}
	for _, p := range items {
		t.add(p.Name, span(p.IdleTimeout), span(p.AbsoluteLifetime), span(p.InactivityTimeout), windowText(p), string(p.BindAddress), allowed(p.PermanentAllowed))
	}
	return t
}

// policyDetails shows one policy whole.
func policyDetails(p session.Policy) *table {
	t := &table{}
	tickles := "keep a session alive"
	if p.NoTickle {
		tickles = "move no timer"
	}
	t.add("policy", p.Name)
	t.add("idle timeout", span(p.IdleTimeout))
	t.add("absolute lifetime", span(p.AbsoluteLifetime))
	t.add("inactivity timeout", span(p.InactivityTimeout))
	t.add("touches", tickles)
	t.add("touch window", windowText(p))
	t.add("bound to address", string(p.BindAddress))
	t.add("permanent sessions", allowed(p.PermanentAllowed))
	t.add("longer idle timeouts", allowed(p.LongerIdleAllowed))
	t.add("attributes", string(p.Attributes))
	t.add("attributes written by", string(p.AttributesWrite))
	t.add("keys", string(p.KeyFormat))
	t.add("rotated keys work", graceText(p))
	t.add("sessions per user", perUser(p))
	t.add("sessions per address", limit(p.MaxSessionsPerAddress))
	t.add("sessions in all", limit(p.MaxSessions))
	t.add("at a limit", string(p.OnLimit))
	return t
}

func graceText(p session.Policy) string {
	if p.RotateGrace > 0 {
		return span(p.RotateGrace)
	}
	return "not at all"
}

func windowText(p session.Policy) string {
	if w := p.EffectiveTouchWindow(); w > 0 {
		return span(w)
	}
	return "every use"
}

func allowed(yes bool) string {
	if yes {
		return "allowed"
	}
	return "no"
}

// perUser shows how many sessions of one user a policy allows.
func perUser(p session.Policy) string {
	if p.SingleSession {
		return "single"
	}
	return limit(p.MaxSessionsPerUser)
}

func limit(n int) string {
	if n == 0 {
		return "any"
	}
	return strconv.Itoa(n)
}

func limitsTable(l session.ClusterLimits) *table {
	t := &table{head: []string{"sessions in all", "at the limit"}}
	t.add(limit(l.MaxSessions), string(l.OnLimit))
	return t
}

func clusterTable(s session.ClusterStatus) *table {
	t := &table{head: []string{"name", "id", "role", "health", "gossip", "lag", "last contact", "peer", "api", "version"}}
	for _, m := range s.Members {
		health, lag, contact := "healthy", "", ""
		if !m.Healthy {
			health = "FAILING"
		}
		if m.Applied > 0 {
			lag = strconv.FormatUint(m.Lag, 10)
		}
		if m.LastContact >= 0 {
			contact = m.LastContact.Round(time.Millisecond).String()
		}
		t.add(m.Name, m.ID, m.Role, health, m.State, lag, contact, m.PeerAddress, m.APIAddress, m.Version)
	}
	t.foot = clusterSummary(s)
	return t
}

func clusterSummary(s session.ClusterStatus) string {
	leader := "no leader"
	for _, m := range s.Members {
		if m.ID == s.LeaderID && s.LeaderID != "" {
			leader = "leader " + m.Name
		}
	}
	survives := "no server may be lost"
	switch {
	case s.Failures == 1:
		survives = "1 server may be lost"
	case s.Failures > 1:
		survives = strconv.Itoa(s.Failures) + " servers may be lost"
	}
	return strings.Join([]string{
		leader, "term " + strconv.FormatUint(s.Term, 10), "index " + strconv.FormatUint(s.CommitIndex, 10),
		sessionCount(s), survives,
	}, ", ")
}

// sessionCount says whose sessions are counted when they are not all of the cluster's.
func sessionCount(s session.ClusterStatus) string {
	text := plural(s.Sessions, "session")
	if s.SessionsOf == "" {
		return text
	}
	for _, m := range s.Members {
		if m.ID == s.SessionsOf {
			return text + " of " + m.Name + " alone"
		}
	}
	return text + " of the asked node alone"
}

func roleList(roles []session.Role) string {
	texts := make([]string, len(roles))
	for i, r := range roles {
		texts[i] = string(r)
	}
	return strings.Join(texts, ",")
}

func attributesText(a session.Attributes) string {
	if len(a) == 0 {
		return ""
	}
	var out strings.Builder
	if err := writeCompactJSON(&out, a); err != nil {
		return "(unreadable)"
	}
	return out.String()
}
