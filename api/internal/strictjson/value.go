package strictjson

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
)

// Value is one checked value within a body. It is valid as long as the body is.
type Value struct {
	Field string // dotted path
	body  []byte
	from  int
	to    int
}

// ReadObject checks that body is one JSON object in UTF-8 and nothing else, and calls member for each of its members in
// order. An error of member ends the reading and is returned as it is.
func ReadObject(body []byte, member func(name string, v Value) error) error {
	s := &scanner{text: body}
	if s.space(); s.peek() != '{' {
		if s.at == len(body) {
			return s.errorf("", "the body is empty; a JSON object should be here")
		}
		return s.errorf("", "a JSON object should be here")
	}
	if err := s.members("", member); err != nil {
		return err
	}
	if s.space(); s.at < len(body) {
		return s.errorf("", "more text follows the JSON object")
	}
	return nil
}

// members passes an object and hands each member out.
func (s *scanner) members(path string, member func(name string, v Value) error) error {
	return s.object(path, func(name string) error {
		v := Value{Field: join(path, name), body: s.text, from: s.at}
		if err := s.value(v.Field); err != nil {
			return err
		}
		v.to = s.at
		return member(name, v)
	})
}

// Errorf makes an error about v at v's place.
func (v Value) Errorf(format string, args ...any) error {
	return newError(v.body, v.from, v.Field, format, args...)
}

// Raw returns a copy of the value's bytes.
func (v Value) Raw() json.RawMessage { return append(json.RawMessage(nil), v.body[v.from:v.to]...) }

// Text returns a string.
func (v Value) Text() (string, error) {
	if v.body[v.from] != '"' {
		return "", v.Errorf("must be a string")
	}
	return unquote(v.body[v.from:v.to]), nil
}

// Boolean returns true or false.
func (v Value) Boolean() (bool, error) {
	switch v.body[v.from] {
	case 't':
		return true, nil
	case 'f':
		return false, nil
	}
	return false, v.Errorf("must be true or false")
}

// Whole returns a whole number, written without fraction and exponent.
func (v Value) Whole() (int, error) {
	text := string(v.body[v.from:v.to])
	if text[0] != '-' && (text[0] < '0' || text[0] > '9') || strings.ContainsAny(text, ".eE") {
		return 0, v.Errorf("must be a whole number")
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return 0, v.Errorf("is out of range")
	}
	return int(n), nil
}

// Seconds returns a number of seconds as a duration of whole milliseconds.
func (v Value) Seconds() (time.Duration, error) {
	number, err := strconv.ParseFloat(string(v.body[v.from:v.to]), 64)
	const most = math.MaxInt64 / float64(time.Second) / 2
	switch {
	case v.body[v.from] != '-' && (v.body[v.from] < '0' || v.body[v.from] > '9'):
		return 0, v.Errorf("must be a number of seconds")
	case err != nil || math.Abs(number) > most:
		return 0, v.Errorf("is out of range")
	}
	ms := math.Round(number * 1000)
	if math.Abs(ms-number*1000) > 1e-6*math.Max(1, math.Abs(ms)) {
		return 0, v.Errorf("must be a whole number of milliseconds")
	}
	return time.Duration(ms) * time.Millisecond, nil
}

// Texts returns an array of at most most strings.
func (v Value) Texts(most int) ([]string, error) {
	if v.body[v.from] != '[' {
		return nil, v.Errorf("must be an array of strings")
	}
	texts := []string{}
	s := &scanner{text: v.body[:v.to], at: v.from}
	err := s.array(v.Field, func() error {
		from := s.at
		if s.peek() != '"' {
			return s.errorf(v.Field, "must be an array of strings")
		}
		if len(texts) == most {
			return s.errorf(v.Field, "has at most %d elements", most)
		}
		if err := s.str(v.Field); err != nil {
			return err
		}
		texts = append(texts, unquote(v.body[from:s.at]))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return texts, nil
}

// Object calls member for each member of an object.
func (v Value) Object(member func(name string, v Value) error) error {
	if v.body[v.from] != '{' {
		return v.Errorf("must be an object")
	}
	s := &scanner{text: v.body[:v.to], at: v.from}
	return s.members(v.Field, member)
}

// Elements calls element for each element of an array that has at most most of them.
func (v Value) Elements(most int, element func(v Value) error) error {
	if v.body[v.from] != '[' {
		return v.Errorf("must be an array")
	}
	s, n := &scanner{text: v.body[:v.to], at: v.from}, 0
	return s.array(v.Field, func() error {
		if n == most {
			return s.errorf(v.Field, "has at most %d elements", most)
		}
		e := Value{Field: v.Field + "[" + strconv.Itoa(n) + "]", body: v.body, from: s.at}
		n++
		if err := s.value(e.Field); err != nil {
			return err
		}
		e.to = s.at
		return element(e)
	})
}

// Kind of a value.
type Kind byte

// The kinds are the bytes by which their values are told.
const (
	Null    Kind = 'n'
	Boolean Kind = 't'
	Number  Kind = '0'
	String  Kind = '"'
	Array   Kind = '['
	Object  Kind = '{'
)

// Kind tells what the value is.
func (v Value) Kind() Kind {
	switch c := v.body[v.from]; c {
	case 't', 'f':
		return Boolean
	case 'n', '"', '[', '{':
		return Kind(c)
	}
	return Number
}
