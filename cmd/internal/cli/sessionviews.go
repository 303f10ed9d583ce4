package cli

import (
	"strconv"
	"strings"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

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

type revokedView struct {
	Revoked      int    `json:"revoked"`
	SessionsNode string `json:"sessions_node,omitempty"`
}
