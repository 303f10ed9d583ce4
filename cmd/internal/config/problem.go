package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong, with the place where a person can mend it.
type Problem struct {
	Source Source
	Key    string // the setting; "" when the whole source is unreadable
	Text   string // a sentence without secrets
}

// Source is where a value was written.
type Source struct {
	File string // path as given, with Line; "" = not from a file
	Line int    // from 1; 0 = unknown
	Name string // "HYDRASTORE_API_LISTEN" or "--api-listen"; "" = neither
}

// String is the place as compilers write it.
func (s Source) String() string {
	switch {
	case s.File != "" && s.Line > 0:
		return fmt.Sprintf("%s:%d", s.File, s.Line)
	case s.File != "":
		return s.File
	}
	return s.Name
}

// String is "place: key: sentence".
func (p Problem) String() string {
	parts := []string{p.Source.String(), p.Key, p.Text}
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ": ")
}

// Problems is the error of Load: everything that is wrong, not only the first.
type Problems []Problem

// Error has one problem a line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, one := range p {
		lines[i] = one.String()
	}
	return strings.Join(lines, "\n")
}

// ordered sorts by place, so that the list reads like the file.
func (p Problems) ordered() Problems {
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(b.Source.File, a.Source.File), cmp.Compare(a.Source.Line, b.Source.Line), cmp.Compare(a.Source.Name, b.Source.Name))
	})
	return p
}
