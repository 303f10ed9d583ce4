package config

import (
	"errors"
	"slices"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

// seedBlock is a block of settings in the words of another system, and the policy that it gives first values to.
type seedBlock struct {
	policy string // also its preset
	keys   []string
	set    func(p *session.Policy, t *seedTimers, given func(key string) bool)
}

const (
	keyPersistence  = "user.sessionPersistence"
	keyDuration     = "user.sessionDuration"
	keyInactivity   = "user.sessionInactivityTimeout"
	keyNoTickle     = "user.sessionNoTickle"
	keyMaxAge       = "userdata.maxsessionkeyage"
	keyConnection   = "jsonActionApiDefaults.idleConnectionTimeoutSeconds"
	keyPermanent    = "jsonActionApiDefaults.enablePermanentJsonApiSessions"
	keyMaxSessions  = "jsonActionApiDefaults.maxJsonApiSessions"
	keyMaxAddress   = "jsonActionApiDefaults.maxJsonApiSessionsPerIpAddress"
	keyMaxUser      = "jsonActionApiDefaults.maxJsonApiSessionsPerUsername"
	keyTokenTimeout = "tokenizer.timeout"
	keyShort        = "livejournal.short"
	keyLong         = "livejournal.long"
)

func seedBlocks() []seedBlock {
	type policy = session.Policy
	return []seedBlock{
		{session.PresetNetX, []string{keyDuration, keyInactivity, keyNoTickle}, func(p *policy, t *seedTimers, given func(string) bool) {
			if given(keyDuration) {
				p.IdleTimeout = units(t.sessionDuration, time.Minute)
			}
			if given(keyInactivity) {
				p.InactivityTimeout = units(t.sessionInactivityTimeout, time.Minute)
			}
			p.NoTickle = t.sessionNoTickle
		}},
		{session.PresetFlowTraq, []string{keyMaxAge}, func(p *policy, t *seedTimers, _ func(string) bool) {
			p.IdleTimeout = units(t.maxSessionKeyAge, time.Second)
		}},
		{session.PresetFairCom, []string{keyConnection, keyPermanent, keyMaxSessions, keyMaxAddress, keyMaxUser}, func(p *policy, t *seedTimers, given func(string) bool) {
			if given(keyConnection) {
				p.IdleTimeout = units(t.idleConnectionTimeout, time.Second)
			}
			p.PermanentAllowed = t.enablePermanent
			for key, limit := range map[string]struct{ to, from *int }{
				keyMaxSessions: {&p.MaxSessions, &t.maxSessions},
				keyMaxAddress:  {&p.MaxSessionsPerAddress, &t.maxPerAddress},
				keyMaxUser:     {&p.MaxSessionsPerUser, &t.maxPerUser},
			} {
				if given(key) {
					*limit.to = *limit.from
				}
			}
		}},
		{session.PresetTokenizer, []string{keyTokenTimeout}, func(p *policy, t *seedTimers, _ func(string) bool) {
			p.IdleTimeout = units(t.tokenizerTimeout, time.Minute)
		}},
		{session.PresetLiveJournalShort, []string{keyShort}, func(p *policy, t *seedTimers, _ func(string) bool) { p.IdleTimeout = t.short }},
		{session.PresetLiveJournalLong, []string{keyLong}, func(p *policy, t *seedTimers, _ func(string) bool) { p.IdleTimeout = t.long }},
	}
}

// seedPolicies adds the policies that blocks in the words of others give first values to.
func (l *loader) seedPolicies() {
	c := &l.config
	given := func(key string) bool { _, ok := l.sources[key]; return ok }
	for _, block := range seedBlocks() {
		at := slices.IndexFunc(block.keys, given)
		if at < 0 || block.policy == session.PresetFlowTraq && c.seed.maxSessionKeyAge == 0 {
			continue
		}
		key := block.keys[at]
		if slices.ContainsFunc(c.Policies, func(p session.Policy) bool { return p.Name == block.policy }) {
			l.problem(key, "policies.%s is set too: use one of them", block.policy)
			continue
		}
		p, _ := session.Preset(block.policy)
		block.set(&p, &c.seed, given)
		if err := l.validSeed(p); err != "" {
			l.problem(key, "%s", err)
			continue
		}
		c.Policies = append(c.Policies, p)
	}
	sortPolicies(c.Policies)
}

// validSeed says what is wrong with a policy in the words of the block: there is no idle timeout of nothing.
func (l *loader) validSeed(p session.Policy) string {
	if p.IdleTimeout == 0 {
		return "a number above 0 is needed here"
	}
	err := p.Validate()
	var e *session.Error
	if errors.As(err, &e) {
		return "gives the policy " + p.Name + " a value that cannot be: " + e.Message
	}
	return ""
}

// units is n units of time; what no timer can be stays what no timer can be.
func units(n int, unit time.Duration) time.Duration {
	most := int(session.MaxTimeout/unit) + 1
	return time.Duration(max(-1, min(n, most))) * unit
}
