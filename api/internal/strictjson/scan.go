package strictjson

import "unicode/utf8"

// MaxDepth bounds nesting, so that the recursion has a bound.
const MaxDepth = 64

// scanner checks one text against RFC 8259 and finds where values begin and end.
type scanner struct {
	text  []byte
	at    int
	depth int
}

func (s *scanner) errorf(field, format string, args ...any) error {
	return newError(s.text, s.at, field, format, args...)
}

func (s *scanner) space() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

// peek returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	if s.at < len(s.text) {
		return s.text[s.at]
	}
	return 0
}

// value checks and passes one value.
func (s *scanner) value(path string) error {
	switch c := s.peek(); {
	case c == '{':
		return s.object(path, func(name string) error { return s.value(s.deeper(path, name)) })
	case c == '[':
		return s.array(path, func() error { return s.value(path) })
	case c == '"':
		return s.str(path)
	case c == '-' || '0' <= c && c <= '9':
		return s.number(path)
	case c == 't':
		return s.word(path, "true")
	case c == 'f':
		return s.word(path, "false")
	case c == 'n':
		return s.word(path, "null")
	case s.at >= len(s.text):
		return s.errorf(path, "the text ends where a value should be")
	}
	return s.errorf(path, "no JSON value begins like this")
}

// deeper extends the path, down to a depth that a person still reads: a path for each member of a deep body costs more than
// the body.
func (s *scanner) deeper(path, name string) string {
	const readable = 4
	if s.depth > readable {
		return path
	}
	return join(path, name)
}

func (s *scanner) word(path, word string) error {
	if len(s.text)-s.at < len(word) || string(s.text[s.at:s.at+len(word)]) != word {
		return s.errorf(path, "no JSON value begins like this")
	}
	s.at += len(word)
	return nil
}

// object passes an object. member is called behind each colon and must pass the value.
func (s *scanner) object(path string, member func(name string) error) error {
	if err := s.enter(path); err != nil {
		return err
	}
	var seen names
	s.space()
	for first := true; ; first = false {
		if s.peek() == '}' && first {
			return s.leave()
		}
		if s.peek() != '"' {
			return s.errorf(path, "a name in double quotes should be here")
		}
		at := s.at
		if err := s.str(path); err != nil {
			return err
		}
		name := unquote(s.text[at:s.at])
		if !seen.add(name) {
			return newError(s.text, at, join(path, name), "given twice in one object")
		}
		if s.space(); s.peek() != ':' {
			return s.errorf(join(path, name), "a colon should be here")
		}
		s.at++
		s.space()
		if err := member(name); err != nil {
			return err
		}
		if done, err := s.next(path, '}'); done || err != nil {
			return err
		}
	}
}

// array passes an array. element must pass one value.
func (s *scanner) array(path string, element func() error) error {
	if err := s.enter(path); err != nil {
		return err
	}
	s.space()
	if s.peek() == ']' {
		return s.leave()
	}
	for {
		if err := element(); err != nil {
			return err
		}
		if done, err := s.next(path, ']'); done || err != nil {
			return err
		}
	}
}

func (s *scanner) enter(path string) error {
	if s.depth++; s.depth > MaxDepth {
		return s.errorf(path, "nested more than %d levels deep", MaxDepth)
	}
	s.at++
	return nil
}

func (s *scanner) leave() error {
	s.depth--
	s.at++
	return nil
}

// next passes what stands behind a value: a comma, or the end of the object or array.
func (s *scanner) next(path string, end byte) (done bool, err error) {
	s.space()
	switch s.peek() {
	case end:
		return true, s.leave()
	case ',':
		s.at++
		s.space()
		return false, nil
	}
	return false, s.errorf(path, "a comma or %q should be here", end)
}

// number passes a number: JSON knows no leading zero, plus sign or bare point.
func (s *scanner) number(path string) error {
	if s.peek() == '-' {
		s.at++
	}
	if s.peek() == '0' {
		s.at++
	} else if !s.digits() {
		return s.errorf(path, "a digit should be here")
	}
	if s.peek() == '.' {
		s.at++
		if !s.digits() {
			return s.errorf(path, "a digit should be here")
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.at++
		if c := s.peek(); c == '+' || c == '-' {
			s.at++
		}
		if !s.digits() {
			return s.errorf(path, "a digit should be here")
		}
	}
	return nil
}

func (s *scanner) digits() bool {
	from := s.at
	for c := s.peek(); '0' <= c && c <= '9'; c = s.peek() {
		s.at++
	}
	return s.at > from
}

// str passes a string.
func (s *scanner) str(path string) error {
	s.at++
	for s.at < len(s.text) {
		switch c := s.text[s.at]; {
		case c == '"':
			s.at++
			return nil
		case c == '\\':
			if err := s.escape(path); err != nil {
				return err
			}
		case c < ' ':
			return s.errorf(path, "a control character must be written as an escape")
		case c < utf8.RuneSelf:
			s.at++
		default:
			r, size := utf8.DecodeRune(s.text[s.at:])
			if r == utf8.RuneError && size == 1 {
				return s.errorf(path, "not valid UTF-8")
			}
			s.at += size
		}
	}
	return s.errorf(path, "the text ends within a string")
}
