package cli

import (
	"strconv"
	"strings"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

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

func viewOfUser(u session.User) userView {
	return userView{
		User: u.Name, Roles: u.Roles, Policies: u.Policies, Disabled: u.Disabled, HasPassword: u.HasPassword, MD5Login: u.MD5Login, Sessions: u.Sessions,
		CreatedAt: u.CreatedAt.UTC(), Version: u.Version,
	}
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

func roleList(roles []session.Role) string {
	texts := make([]string, len(roles))
	for i, r := range roles {
		texts[i] = string(r)
	}
	return strings.Join(texts, ",")
}
