package api

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/hydrastore/hydrastore/api/internal/rest"
	"github.com/hydrastore/hydrastore/session"
)

// Sessions are written by hand: they are nearly all that a busy node answers. A test holds them to the generated models.

// appendSession appends the members of s, without braces.
func appendSession(b []byte, s *session.Session) []byte {
	b = append(b, `"id":"`...)
	b = append(b, s.ID.String()...)
	b = append(b, `","number":`...)
	b = strconv.AppendUint(b, s.Number, 10)
	b = append(b, `,"user":`...)
	b = appendText(b, s.User)
	b = append(b, `,"policy":`...)
	b = appendText(b, s.Policy)
	b = append(b, `,"created_at":`...)
	b = rest.AppendTimestamp(b, s.CreatedAt)
	b = append(b, `,"last_used_at":`...)
	b = rest.AppendTimestamp(b, s.LastUsedAt)
	b = append(b, `,"expires_at":`...)
	if s.ExpiresAt.IsZero() {
		b = append(b, "null"...)
	} else {
		b = rest.AppendTimestamp(b, s.ExpiresAt)
	}
	b = append(b, `,"idle_timeout_s":`...)
	idle := s.IdleTimeout
	if s.Permanent {
		idle = idleOfPermanent
	}
	b = appendSeconds(b, idle)
	b = append(b, `,"permanent":`...)
	b = strconv.AppendBool(b, s.Permanent)
	b = append(b, `,"prompt":`...)
	b = strconv.AppendBool(b, s.Prompt)
	if s.ClientAddress.IsValid() {
		b = append(b, `,"client_ip":"`...)
		b = s.ClientAddress.AppendTo(b)
		b = append(b, '"')
	}
	if s.UserAgent != "" {
		b = append(b, `,"user_agent":`...)
		b = appendText(b, s.UserAgent)
	}
	b = append(b, `,"attributes_version":`...)
	b = strconv.AppendUint(b, s.AttributesVersion, 10)
	b = append(b, `,"auth_time":`...)
	b = rest.AppendTimestamp(b, s.AuthTime)
	b = append(b, `,"methods":[`...)
	for i, method := range s.Methods {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, string(method))
	}
	return append(b, ']')
}

func appendChecked(b []byte, s *session.Checked) []byte {
	b = append(b, '{')
	b = appendSession(b, &s.Session)
	b = append(b, `,"roles":[`...)
	for i, role := range s.Roles {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, string(role))
	}
	b = append(b, `],"rotate":`...)
	b = strconv.AppendBool(b, s.Rotate)
	b = append(b, `,"attributes":`...)
	b = appendAttributes(b, s.Attributes)
	b = appendSealed(b, s.Sealed)
	return append(b, '}')
}

// appendIssued is the one place where a key is written.
func appendIssued(b []byte, s *session.Issued) []byte {
	b = append(b, `{"key":`...)
	b = appendText(b, s.Key.Reveal())
	b = append(b, ',')
	b = appendSession(b, &s.Session)
	b = append(b, `,"attributes":`...)
	b = appendAttributes(b, s.Attributes)
	b = appendSealed(b, s.Sealed)
	return append(b, '}')
}

func appendSessionList(b []byte, list *session.SessionList) []byte {
	b = append(b, `{"items":[`...)
	for i := range list.Items {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '{')
		b = appendSession(b, &list.Items[i])
		b = append(b, '}')
	}
	b = append(b, `],"next_cursor":`...)
	if list.NextCursor == "" {
		b = append(b, "null"...)
	} else {
		b = appendText(b, list.NextCursor)
	}
	if list.Node != "" {
		b = appendText(append(b, `,"sessions_node":`...), list.Node)
	}
	return append(b, '}')
}

// appendSealed appends the member with sealed attributes, if there are any to show.
func appendSealed(b []byte, sealed session.Attributes) []byte {
	if len(sealed) == 0 {
		return b
	}
	return appendAttributes(append(b, `,"sealed_attributes":`...), sealed)
}

// appendAttributes appends values as they are: the service holds canonical JSON.
func appendAttributes(b []byte, attributes session.Attributes) []byte {
	b = append(b, '{')
	switch len(attributes) {
	case 0:
	case 1:
		for name, value := range attributes {
			b = appendAttribute(b, name, value)
		}
	default:
		for i, name := range slices.Sorted(maps.Keys(attributes)) {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendAttribute(b, name, attributes[name])
		}
	}
	return append(b, '}')
}

func appendAttribute(b []byte, name string, value json.RawMessage) []byte {
	b = appendText(b, name)
	b = append(b, ':')
	return append(b, value...)
}

// appendSeconds appends a duration to the millisecond, without trailing zeros.
func appendSeconds(b []byte, d time.Duration) []byte {
	return strconv.AppendFloat(b, inSeconds(d), 'f', -1, 64)
}

// inSeconds rounds to the millisecond, so that 0.1 is 0.1.
func inSeconds(d time.Duration) float64 {
	return math.Round(float64(d)/float64(time.Millisecond)) / 1000
}

// appendText appends a JSON string.
func appendText(b []byte, text string) []byte {
	b = append(b, '"')
	from := 0
	for i := 0; i < len(text); {
		c := text[i]
		if c < utf8.RuneSelf {
			if c < ' ' || c == '"' || c == '\\' {
				b = append(b, text[from:i]...)
				b = appendEscape(b, c)
				from = i + 1
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		if r == utf8.RuneError && size == 1 {
			b = append(b, text[from:i]...)
			b = utf8.AppendRune(b, utf8.RuneError)
			from = i + 1
		}
		i += size
	}
	b = append(b, text[from:]...)
	return append(b, '"')
}

func appendEscape(b []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	if c == '"' || c == '\\' {
		return append(b, '\\', c)
	}
	return append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
}
