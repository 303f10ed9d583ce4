package strictjson

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Error tells what is wrong with a body, and where.
type Error struct {
	Field   string // dotted path of the member; "" = the body as a whole
	Message string
	Line    int // from 1
	Column  int // from 1, in bytes
}

// Error gives place and message.
func (e *Error) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Message)
}

func newError(text []byte, offset int, field, format string, args ...any) *Error {
	before := string(text[:min(offset, len(text))])
	line := strings.Count(before, "\n") + 1
	return &Error{Field: field, Message: fmt.Sprintf(format, args...), Line: line, Column: len(before) - strings.LastIndexByte(before, '\n')}
}

// join extends a path by a foreign name, shortened to what an answer can bear.
func join(path, name string) string {
	const most = 64
	if len(name) > most {
		cut := most
		for cut > 0 && !utf8.RuneStart(name[cut]) {
			cut--
		}
		name = name[:cut] + "…"
	}
	if path == "" {
		return name
	}
	return path + "." + name
}
