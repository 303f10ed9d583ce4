package portable

import (
	"crypto/sha256"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// Tally is what a move has seen: how much, and a sum over it in which the order does not matter, but that policies come before what is past of them. The sum
// is the same in all homes: it leaves out what each keeps in its own way, which is timers, what earlier forms of policies mean for no session that lives,
// the grace of rotated keys, and what is known of users without account.
type Tally struct {
	Users    int // with an account
	Sessions int
	Ended    int // sessions that stay behind, because their time is over
	sum      big.Int

	forms     big.Int          // a sum over earlier forms of policies as they are
	lifetimes map[string]int64 // of policies whose past has not come yet; 0 = none
}

// Add counts a record.
func (t *Tally) Add(r Record) error {
	switch {
	case r.Past != nil:
		return t.count(r.Past)
	case r.User != nil && r.User.Account == nil:
		return nil
	case r.User != nil:
		t.Users++
	case r.Session != nil:
		t.Sessions++
	case r.Cluster != nil:
		t.lifetimes = make(map[string]int64, len(r.Cluster.Policies))
		for _, p := range r.Cluster.Policies {
			t.lifetimes[p.Name] = p.LifetimeMS
		}
	}
	return add(&t.sum, r.normal())
}

// add adds the SHA-256 of a record modulo 2^256.
func add(sum *big.Int, r Record) error {
	text, err := encode(r)
	if err != nil {
		return err
	}
	h := sha256.Sum256(text)
	sum.Add(sum, new(big.Int).SetBytes(h[:]))
	sum.Mod(sum, new(big.Int).Lsh(big.NewInt(1), 8*sha256.Size))
	return nil
}

// Sum is the sum modulo 2^256 of the SHA-256 of each record's normal form, in 64 hexadecimal digits.
func (t *Tally) Sum() string { return fmt.Sprintf("%0*x", 2*sha256.Size, &t.sum) }

// Means tells whether two have seen what is the same in all homes.
func (t *Tally) Means(o *Tally) bool {
	return t.Users == o.Users && t.Sessions == o.Sessions && t.sum.Cmp(&o.sum) == 0
}

// Equal tells whether two have seen the same, and each earlier form of a policy to the letter.
func (t *Tally) Equal(o *Tally) bool { return t.Means(o) && t.forms.Cmp(&o.forms) == 0 }

// normal is a record as every home keeps it.
func (r Record) normal() Record {
	switch {
	case r.Cluster != nil:
		c := Cluster{Policies: slices.Clone(r.Cluster.Policies), Seals: r.Cluster.Seals, Limits: r.Cluster.Limits}
		slices.SortFunc(c.Policies, func(a, b Policy) int { return strings.Compare(a.Name, b.Name) })
		if c.Limits.MaxSessions == 0 {
			c.Limits = Limits{}
		}
		return Record{Cluster: &c}
	case r.User != nil:
		u := *r.User
		u.Version = 0
		if u.Account != nil {
			a := *u.Account
			a.Roles, a.Policies = slices.Sorted(slices.Values(a.Roles)), append([]string{}, a.Policies...)
			u.Account = &a
		}
		return Record{User: &u}
	}
	s := *r.Session
	s.Timers, s.PolicyVersion, s.EndsMS = Timers{}, 0, 0
	s.Retired = slices.Clone(s.Retired)
	for i := range s.Retired {
		s.Retired[i] = RetiredKey{Hash: s.Retired[i].Hash}
	}
	s.Roles, s.Methods = slices.Sorted(slices.Values(s.Roles)), slices.Sorted(slices.Values(s.Methods))
	if s.Permanent {
		s.LastActivityMS = s.LastUseMS
	}
	return Record{Session: &s}
}

// ended tells whether a session's time is over at an instant.
func (s *Session) ended(atMS int64) bool { return s.EndsMS != 0 && s.EndsMS <= atMS }
