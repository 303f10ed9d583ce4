package audit

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"time"
	"unicode"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/session"
)

// line is what readers get. Names and order of the fields are stable: docs/audit.md. Nothing in a line of an entry depends on the
// node that writes it.
type line struct {
	Time     string `json:"time"`
	Event    string `json:"event"`
	Index    uint64 `json:"index"`
	Position int    `json:"position"`
	said
}

// ownLine is the line of a session that this node alone keeps. No log entry names it, so this node does, and counts.
type ownLine struct {
	Time     string `json:"time"`
	Event    string `json:"event"`
	Node     string `json:"node"`
	Sequence uint64 `json:"sequence"`
	said
}

// said is what a line says beside its name.
type said struct {
	User      string `json:"user,omitempty"`
	SessionID string `json:"session_id,omitempty"`
	Number    uint64 `json:"number,omitempty"`
	Policy    string `json:"policy,omitempty"`
	ClientIP  string `json:"client_ip,omitempty"`
	UserAgent string `json:"user_agent,omitempty"`
	Method    string `json:"method,omitempty"`
	Cause     string `json:"cause,omitempty"`
	Reason    string `json:"reason,omitempty"`
	Field     string `json:"field,omitempty"`
	Permanent bool   `json:"permanent,omitempty"`
	Count     uint64 `json:"count,omitempty"`
	Users     uint64 `json:"users,omitempty"`
	Origin    string `json:"origin,omitempty"`
	Version   uint64 `json:"version,omitempty"`

	PasswordChanged bool              `json:"password_changed,omitempty"`
	Changes         map[string]change `json:"changes,omitempty"`

	Actor          string `json:"actor,omitempty"`
	ActorSessionID string `json:"actor_session_id,omitempty"`
	ActorIP        string `json:"actor_ip,omitempty"`
	System         bool   `json:"system,omitempty"`

	// Of a gap only.
	FromIndex uint64 `json:"from_index,omitempty"`
	ToIndex   uint64 `json:"to_index,omitempty"`
	Node      string `json:"node,omitempty"`
}

// change is one field of a user or policy before and after; a missing From means that there was none.
type change struct {
	From any `json:"from,omitempty"`
	To   any `json:"to"`
}

// gapEvent is the event of the only line that is no event of the log.
const gapEvent = "gap"

// lines appends the lines of an item.
func (t *Trail) lines(out *bytes.Buffer, it item) {
	encoder := json.NewEncoder(out) // ends every value with a line feed, and has none inside
	encoder.SetEscapeHTML(false)
	if g := it.gap; g != nil {
		_ = encoder.Encode(line{
			Time: instant(it.clockMS), Event: gapEvent, Index: g.to, Position: -1,
			said: said{Reason: g.reason, Count: g.lines, FromIndex: g.from, ToIndex: g.to, Node: t.config.Node},
		})
		return
	}
	if it.own != nil {
		t.mark.Sequence++
		_ = encoder.Encode(it.own.line(t.config.Node, t.mark.Sequence, it.clockMS))
		return
	}
	for i, e := range it.events[it.skip:] {
		_ = encoder.Encode(lineOf(it, it.skip+i, e)) // strings and numbers always encode
	}
}

func lineOf(it item, position int, e fsm.Event) line {
	return line{Time: instant(it.clockMS), Event: string(e.Kind), Index: it.index, Position: position, said: saidOf(e)}
}

func saidOf(e fsm.Event) said {
	l := said{
		User: e.User, SessionID: id(e.Session), Number: e.Number, Policy: e.Policy, ClientIP: address(e.Address), UserAgent: e.UserAgent,
		Method: e.Method, Reason: e.Reason, Field: e.Field, Permanent: e.Permanent, Count: e.Count, Users: e.Users, Origin: e.Origin, Version: e.Version, PasswordChanged: e.PasswordChanged,
		Actor: e.Actor.User, ActorSessionID: id(e.Actor.Session), ActorIP: address(e.Actor.Address), System: e.Actor.System,
	}
	if e.Cause != 0 {
		l.Cause = e.Cause.String()
	}
	switch {
	case e.UserAfter != nil:
		l.Changes = changes(e.UserBefore, e.UserAfter)
	case e.PolicyAfter != nil:
		l.Changes = changes(e.PolicyBefore, e.PolicyAfter)
	case e.LimitsAfter != nil:
		l.Changes = changes(e.LimitsBefore, e.LimitsAfter)
	}
	return l
}

func instant(ms int64) string {
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z07:00")
}

func id(id session.ID) string {
	if id == (session.ID{}) {
		return ""
	}
	return id.String()
}

func address(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// changes compares two records field by field, so that a field that is added to a user or policy is in the trail without more.
func changes[T any](before, after *T) map[string]change {
	first := before == nil
	if first {
		before = new(T)
	}
	out := map[string]change{}
	compare(out, reflect.ValueOf(before).Elem(), reflect.ValueOf(after).Elem(), first)
	return out
}

// compare notes in what two records differ. The fields of an embedded one count as the record's own.
func compare(out map[string]change, a, b reflect.Value, first bool) {
	for i := range a.NumField() {
		if a.Type().Field(i).Anonymous {
			compare(out, a.Field(i), b.Field(i), first)
			continue
		}
		name := a.Type().Field(i).Name
		from, to := plain(a.Field(i)), plain(b.Field(i))
		switch {
		case isHousekeeping(name) || !first && reflect.DeepEqual(from, to):
		case first:
			out[spelled(name, a.Field(i))] = change{To: to}
		default:
			out[spelled(name, a.Field(i))] = change{From: from, To: to}
		}
	}
}

// isHousekeeping tells fields that follow from others or stand in the line itself.
func isHousekeeping(name string) bool {
	switch name {
	case "Name", "Version", "Sessions", "CreatedAt", "HasPassword":
		return true
	}
	return false
}

// plain gives a field's value as the API shows it: durations in seconds.
func plain(v reflect.Value) any {
	switch value := v.Interface().(type) {
	case time.Duration:
		if value < 0 {
			return -1 // "by default", in every unit
		}
		return value.Seconds()
	default:
		if v.Kind() == reflect.Slice && v.IsNil() {
			return reflect.MakeSlice(v.Type(), 0, 0).Interface()
		}
		return value
	}
}

// spelled gives a field's name as the API spells it: IdleTimeout, a duration, is idle_timeout_s, and MD5Login md5_login.
func spelled(name string, v reflect.Value) string {
	var out strings.Builder
	before := 'A' // no underscore in front
	for _, r := range name {
		if unicode.IsUpper(r) && !unicode.IsUpper(before) {
			out.WriteByte('_')
		}
		out.WriteRune(unicode.ToLower(r))
		before = r
	}
	if v.Type() == reflect.TypeFor[time.Duration]() {
		out.WriteString("_s")
	}
	return out.String()
}
