package portable

import (
	"cmp"
	"fmt"
	"slices"
)

// Abridging is a Target that keeps of an earlier form of a policy only what it means for a session that lives: an absolute lifetime. All else a target
// keeps as it was given it.
type Abridging interface {
	AbridgesPast()
}

// count counts what is past of a policy, which comes once, and after the policy.
func (t *Tally) count(p *Past) error {
	lifetimeMS, is := t.lifetimes[p.Policy]
	if !is {
		return fmt.Errorf("what is past of policy %q comes twice, or without the policy", p.Policy)
	}
	delete(t.lifetimes, p.Policy)
	if err := add(&t.forms, Record{Past: p}); err != nil {
		return err
	}
	meant := lasting(p.Forms, lifetimeMS)
	if len(meant) == 0 {
		return nil
	}
	return add(&t.sum, Record{Past: &Past{Policy: p.Policy, Forms: meant}})
}

// lasting is what earlier forms of a policy mean for sessions that live, in one form, oldest first: those made until an instant end after the least of the
// lifetimes that have been in force since. What was dead by its last use is none that moves.
func lasting(forms []PastForm, lifetimeMS int64) (out []PastForm) {
	latest := slices.SortedFunc(slices.Values(forms), func(a, b PastForm) int {
		return cmp.Or(cmp.Compare(b.UntilMS, a.UntilMS), cmp.Compare(a.LifetimeMS, b.LifetimeMS))
	})
	for _, form := range latest {
		if form.LifetimeMS != 0 && (lifetimeMS == 0 || form.LifetimeMS < lifetimeMS) {
			lifetimeMS = form.LifetimeMS
			out = append(out, PastForm{UntilMS: form.UntilMS, LifetimeMS: lifetimeMS})
		}
	}
	slices.Reverse(out)
	return out
}
