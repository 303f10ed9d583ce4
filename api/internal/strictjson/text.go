package strictjson

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// escape passes one escape, or a surrogate pair of two.
func (s *scanner) escape(path string) error {
	if s.at+1 >= len(s.text) {
		return s.errorf(path, "the text ends within a string")
	}
	if bytes.IndexByte([]byte(`"\/bfnrt`), s.text[s.at+1]) >= 0 {
		s.at += 2
		return nil
	}
	r, ok := hexRune(s.text[s.at:])
	if !ok {
		return s.errorf(path, "no JSON string knows this escape")
	}
	if utf16.IsSurrogate(r) {
		second, ok := hexRune(s.text[s.at+escapeBytes:])
		if !ok || utf16.DecodeRune(r, second) == utf8.RuneError {
			return s.errorf(path, "half of a surrogate pair is no character")
		}
		s.at += escapeBytes
	}
	s.at += escapeBytes
	return nil
}

const escapeBytes = len(`\u0000`)

// hexRune reads a \uXXXX at the beginning of text.
func hexRune(text []byte) (rune, bool) {
	if len(text) < escapeBytes || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range text[2:escapeBytes] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// unquote returns the text of a string that the scanner has passed.
func unquote(quoted []byte) string {
	inner := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return string(inner)
	}
	out := make([]byte, 0, len(inner))
	for i := 0; i < len(inner); {
		c := inner[i]
		if c != '\\' {
			out = append(out, c)
			i++
			continue
		}
		if inner[i+1] != 'u' {
			out = append(out, unescaped(inner[i+1]))
			i += 2
			continue
		}
		r, _ := hexRune(inner[i:])
		i += escapeBytes
		if utf16.IsSurrogate(r) {
			second, _ := hexRune(inner[i:])
			r = utf16.DecodeRune(r, second)
			i += escapeBytes
		}
		out = utf8.AppendRune(out, r)
	}
	return string(out)
}

func unescaped(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}

// names remembers the names of one object; small ones, nearly all, without a map.
type names struct {
	few  []string
	many map[string]struct{}
}

// add tells whether the name is new.
func (n *names) add(name string) bool {
	const few = 16
	if n.many != nil {
		_, known := n.many[name]
		n.many[name] = struct{}{}
		return !known
	}
	for _, known := range n.few {
		if known == name {
			return false
		}
	}
	if n.few = append(n.few, name); len(n.few) > few {
		n.many = make(map[string]struct{}, 2*len(n.few))
		for _, known := range n.few {
			n.many[known] = struct{}{}
		}
	}
	return true
}
