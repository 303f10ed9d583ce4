package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/hydrastore/hydrastore/session"
)

// policyFields are the words of the API, so that a policy reads the same in the file and in an answer.
func policyFields() []string {
	return []string{
		"idle_timeout_s", "absolute_lifetime_s", "inactivity_timeout_s", "no_tickle", "touch_window_s", "bind_address", "attributes", "attributes_write",
		"permanent_allowed", "longer_idle_allowed", "rotate_grace_s", "key_format", "max_sessions_per_user", "max_sessions_per_address", "max_sessions", "on_limit", "single_session", "permanent_counted",
	}
}

// policies reads the block: policy name → fields. Absent fields take the defaults of a new policy; the policy "default" is
// always among the result.
func (l *loader) policies(key string, value any) []session.Policy {
	block, ok := value.(map[string]any)
	if text, isText := value.(string); isText { // from a variable or a flag
		if err := yaml.Unmarshal([]byte(text), &block); err != nil {
			l.problem(key, "a YAML or JSON text with policies by name is needed here: %v", err)
			return nil
		}
	} else if !ok {
		l.problem(key, "policies by name are needed here, this is %s", describe(value))
		return nil
	}
	list := make([]session.Policy, 0, len(block))
	for _, name := range slices.Sorted(maps.Keys(block)) {
		if p, ok := l.policy(key, name, block[name]); ok {
			list = append(list, p)
		}
	}
	if len(list) > session.MaxPolicies {
		l.problem(key, "there are at most %d policies, these are %d", session.MaxPolicies, len(list))
	}
	return list
}

// impliedPolicies adds the policies that must be there and that no one gave: "default", and those of the protocols.
func (l *loader) impliedPolicies() {
	c := &l.config
	imply := func(p session.Policy) {
		if !slices.ContainsFunc(c.Policies, func(given session.Policy) bool { return given.Name == p.Name }) {
			c.Policies, c.implied = append(c.Policies, p), append(c.implied, p.Name)
		}
	}
	imply(session.DefaultPolicy())
	for _, name := range c.Protocols.policies() {
		if preset, found := session.Preset(name); found {
			if l.in.Dev && c.OwnSessions {
				preset.MaxSessionsPerAddress, preset.MaxSessions = 0, 0 // which nodes that keep their own sessions do not hold: dev is to show the protocol all the same
			}
			imply(preset)
		}
	}
	sortPolicies(c.Policies)
}

func sortPolicies(list []session.Policy) {
	slices.SortFunc(list, func(a, b session.Policy) int { return cmp.Compare(a.Name, b.Name) })
}

func (l *loader) policy(block, name string, value any) (session.Policy, bool) {
	key := block + "." + name
	fields, ok := value.(map[string]any)
	if !ok && value != nil {
		l.policyProblem(key, block, "the fields of a policy are needed here, this is %s", describe(value))
		return session.Policy{}, false
	}
	p := session.DefaultPolicy()
	before := len(l.problems)
	if preset, given := fields["preset"]; given {
		p = l.preset(key+".preset", block, preset)
	}
	p.Name = name
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		if field == "preset" {
			continue
		}
		if text := setPolicyField(&p, field, fields[field]); text != "" {
			l.policyProblem(key+"."+field, block, "%s", text)
		}
	}
	if len(l.problems) > before {
		return p, false
	}
	if err := p.Validate(); err != nil {
		var e *session.Error
		if errors.As(err, &e) && slices.Contains(policyFields(), e.Field) {
			l.policyProblem(key+"."+e.Field, block, "%s", e.Message)
		} else if errors.As(err, &e) {
			l.policyProblem(key, block, "%s", e.Message)
		}
		return p, false
	}
	return p, true
}

// preset finds the rules that a policy begins with.
func (l *loader) preset(key, block string, value any) session.Policy {
	name, _ := value.(string)
	p, found := session.Preset(name)
	if !found {
		l.policyProblem(key, block, "use one of %s; this is %s", strings.Join(session.PresetNames(), ", "), describe(value))
	}
	return p
}

// policyProblem blames the nearest place that is known: the field, its policy, or the block.
func (l *loader) policyProblem(key, block, format string, args ...any) {
	at := key
	for at != block {
		if _, known := l.sources[at]; known {
			break
		}
		cut := strings.LastIndexByte(at, '.')
		at = at[:max(cut, len(block))]
	}
	l.problems = append(l.problems, Problem{Source: l.sources[at], Key: key, Text: fmt.Sprintf(format, args...)})
}

func setPolicyField(p *session.Policy, field string, value any) string {
	switch field {
	case "idle_timeout_s":
		return setSeconds(&p.IdleTimeout, value)
	case "absolute_lifetime_s":
		return setSeconds(&p.AbsoluteLifetime, value)
	case "touch_window_s":
		if value == -1 {
			p.TouchWindow = session.TouchWindowAuto
			return ""
		}
		return setSeconds(&p.TouchWindow, value)
	case "inactivity_timeout_s":
		return setSeconds(&p.InactivityTimeout, value)
	case "no_tickle":
		return assignBool(&p.NoTickle, value)
	case "permanent_allowed":
		return assignBool(&p.PermanentAllowed, value)
	case "longer_idle_allowed":
		return assignBool(&p.LongerIdleAllowed, value)
	case "bind_address":
		return setBinding(&p.BindAddress, value)
	case "attributes":
		return assignText((*string)(&p.Attributes), value, false)
	case "attributes_write":
		return assignText((*string)(&p.AttributesWrite), value, false)
	case "rotate_grace_s":
		return setSeconds(&p.RotateGrace, value)
	case "key_format":
		return assignText((*string)(&p.KeyFormat), value, false)
	case "max_sessions_per_user":
		return setCount(&p.MaxSessionsPerUser, value)
	case "max_sessions_per_address":
		return setCount(&p.MaxSessionsPerAddress, value)
	case "max_sessions":
		return setCount(&p.MaxSessions, value)
	case "on_limit":
		return assignText((*string)(&p.OnLimit), value, false)
	case "permanent_counted":
		return assignBool(&p.PermanentCounted, value)
	case "single_session":
		return assignBool(&p.SingleSession, value)
	}
	return unknownText(field, append(policyFields(), "preset"))
}

// setBinding reads off, log or strict. YAML takes a bare off for false, and that is what people write.
func setBinding(field *session.AddressBinding, value any) string {
	if value == false {
		value = string(session.BindOff)
	}
	return assignText((*string)(field), value, false)
}

func setCount(field *int, value any) string {
	n, ok := value.(int)
	if !ok {
		return "a whole number is needed here, this is " + describe(value)
	}
	*field = n
	return ""
}

// setSeconds reads a number of seconds, to the millisecond.
func setSeconds(field *time.Duration, value any) string {
	var seconds float64
	switch v := value.(type) {
	case int:
		seconds = float64(v)
	case float64:
		seconds = v
	default:
		return "a number of seconds is needed here, this is " + describe(value)
	}
	if !(seconds >= 0 && seconds <= session.MaxTimeout.Seconds()) { // also refuses NaN
		return "a number of seconds from 0 to " + strconv.FormatFloat(session.MaxTimeout.Seconds(), 'f', 0, 64) + " is needed here, this is " + describe(value)
	}
	*field = time.Duration(seconds*1000) * time.Millisecond
	return ""
}
