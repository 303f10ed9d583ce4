package fsm_test

import (
	"cmp"
	"slices"

	"github.com/hydrastore/hydrastore/fsm/fsmpb"
)

// modelSecret signs the challenges of an hour.
type modelSecret struct {
	hour   int64
	secret string
}

func (s modelSecret) end() int64 { return s.hour + 3_660_000 }

type modelUsed struct {
	hash string
	end  int64
}

func (m *model) forgetChallenges() {
	m.secrets = slices.DeleteFunc(m.secrets, func(s modelSecret) bool { return s.end() <= m.clock })
	for len(m.used) > 0 && m.used[0].end <= m.clock {
		m.used = m.used[1:]
	}
}

func (m *model) putChallengeSecret(c *fsmpb.PutChallengeSecret, r *fsmpb.Result) {
	s := modelSecret{c.HourMs, string(c.Secret)}
	switch {
	case c.HourMs%3_600_000 != 0 || c.HourMs < 0 || len(s.secret) == 0 || len(s.secret) > 128:
		set(r, fsmpb.Code_CODE_INVALID, "")
	case s.hour > m.clock || s.end() <= m.clock:
		set(r, fsmpb.Code_CODE_CONFLICT, "hour")
	case slices.ContainsFunc(m.secrets, func(known modelSecret) bool { return known.hour == s.hour && !underOtherKeys(known.secret, s.secret) }):
		count(r, 0)
	default:
		m.secrets = append(slices.DeleteFunc(m.secrets, func(known modelSecret) bool { return known.hour == s.hour }), s)
		slices.SortFunc(m.secrets, func(a, b modelSecret) int { return cmp.Compare(a.hour, b.hour) })
		count(r, 1)
	}
}

// underOtherKeys: a sealed value has a zero, four bytes of its key's id, and at least 29 more.
func underOtherKeys(a, b string) bool {
	sealed := func(s string) bool { return len(s) > 33 && s[0] == 0 }
	return sealed(a) && sealed(b) && a[1:5] != b[1:5]
}

func (m *model) knowsHour(hour int64) bool {
	return slices.ContainsFunc(m.secrets, func(s modelSecret) bool { return s.hour == hour })
}

func (m *model) useChallenge(c *fsmpb.UseChallenge, r *fsmpb.Result) {
	used := slices.ContainsFunc(m.used, func(u modelUsed) bool { return u.hash == string(c.Hash) })
	switch {
	case len(c.Hash) != 16 || c.HourMs%3_600_000 != 0 || c.HourMs < 0 || c.EndMs <= c.HourMs || c.EndMs > c.HourMs+3_660_000:
		set(r, fsmpb.Code_CODE_INVALID, "")
	case c.EndMs <= m.clock:
		set(r, fsmpb.Code_CODE_UNAUTHENTICATED, "expired")
	case used || !m.knowsHour(c.HourMs):
		set(r, fsmpb.Code_CODE_UNAUTHENTICATED, "used")
	default:
		m.used = append(m.used, modelUsed{string(c.Hash), c.EndMs})
	}
}

// possibleVerifier wants an MD5 that is sealed, or nothing.
func possibleVerifier(v []byte) bool { return len(v) == 0 || len(v) == 49 && v[0] == 0 }

func (m *model) replaceVerifier(c *fsmpb.ReplaceSealed, r *fsmpb.Result) {
	u := m.users[c.User]
	switch {
	case len(c.Id) > 0 || len(c.Changes) != 1 || c.Changes[0].Name != "" || sealedBy(string(c.Changes[0].New)) == 0 || len(c.Changes[0].New) != 49 ||
		!m.mayStore(c.Changes[0].New):
		set(r, fsmpb.Code_CODE_INVALID, "")
	case u == nil || !u.stored:
		set(r, fsmpb.Code_CODE_NOT_FOUND, "user")
	case u.verifier == "" || u.verifier != string(c.Changes[0].Old):
		count(r, 0)
	default:
		u.verifier = string(c.Changes[0].New)
		count(r, 1)
	}
}
