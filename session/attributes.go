package session

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Canonical validates every value of p and returns it in canonical JSON (no insignificant space, sorted object
// keys, no repeated keys), so that equal values have equal bytes before they reach the log. Deletions stay "null".
func (p AttributePatch) Canonical() (AttributePatch, error) {
	if len(p) > MaxAttributes {
		return nil, TooLarge("attributes", "at most %d attributes at once, these are %d", MaxAttributes, len(p))
	}
	out := make(AttributePatch, len(p))
	total := 0
	for name, value := range p {
		if err := validateAttributeName(name); err != nil {
			return nil, err
		}
		canonical, err := canonicalValue(name, value)
		if err != nil {
			return nil, err
		}
		total += len(name) + len(canonical)
		out[name] = canonical
	}
	if total > MaxAttributesBytes {
		return nil, TooLarge("attributes", "names and values have at most %d bytes together, these have %d", MaxAttributesBytes, total)
	}
	return out, nil
}

// Canonical is AttributePatch.Canonical for first values, where a null has no meaning and is dropped.
func (a Attributes) Canonical() (Attributes, error) {
	patch, err := AttributePatch(a).Canonical()
	if err != nil {
		return nil, err
	}
	out := Attributes(patch)
	for name, value := range out {
		if IsDeletion(value) {
			delete(out, name)
		}
	}
	return out, nil
}

// CanonicalAttribute gives a value that an attribute, reserved or not, may have, in canonical JSON.
func CanonicalAttribute(name string, value json.RawMessage) (json.RawMessage, error) {
	if err := validateAttributeName(strings.TrimPrefix(name, ReservedAttributePrefix)); err != nil {
		return nil, err
	}
	canonical, err := canonicalValue(name, value)
	if err == nil && IsDeletion(canonical) {
		return nil, Invalid("attributes."+cut(name), "null is no value")
	}
	return canonical, err
}

// IsDeletion tells whether a canonical value of a patch deletes its key.
func IsDeletion(value json.RawMessage) bool { return string(value) == "null" }

// ReservedAttributePrefix begins the names of attributes that only Hydrastore itself sets.
const ReservedAttributePrefix = "hydrastore."

func validateAttributeName(name string) error {
	switch {
	case strings.HasPrefix(name, ReservedAttributePrefix):
		return Invalid("attributes", "names that begin with %q are reserved", ReservedAttributePrefix)
	case name == "":
		return Invalid("attributes", "an attribute needs a name")
	case len(name) > MaxAttributeNameBytes:
		return TooLarge("attributes", "an attribute's name has at most %d bytes", MaxAttributeNameBytes)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return Invalid("attributes", "an attribute's name must be valid UTF-8 without control characters")
	}
	return nil
}

func canonicalValue(name string, value json.RawMessage) (json.RawMessage, error) {
	if len(value) > 4*MaxAttributeBytes {
		return nil, TooLarge("attributes."+cut(name), "a value has at most %d bytes", MaxAttributeBytes)
	}
	if err := checkDepth(name, value); err != nil {
		return nil, err
	}
	if !utf8.Valid(value) || !json.Valid(value) {
		return nil, Invalid("attributes."+cut(name), "the value is not one JSON value in UTF-8")
	}
	decoder := json.NewDecoder(bytes.NewReader(value))
	decoder.UseNumber() // a number keeps its spelling: 64-bit integers survive
	var decoded any
	if err := decoder.Decode(&decoded); err != nil {
		return nil, Invalid("attributes."+cut(name), "the value is not one JSON value in UTF-8")
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(decoded); err != nil {
		return nil, Invalid("attributes."+cut(name), "the value cannot be written as JSON")
	}
	canonical := bytes.TrimSuffix(out.Bytes(), []byte("\n"))
	if len(canonical) > MaxAttributeBytes {
		return nil, TooLarge("attributes."+cut(name), "a value has at most %d bytes, this has %d", MaxAttributeBytes, len(canonical))
	}
	return canonical, nil
}

// checkDepth bounds nesting before anything recursive sees the value.
func checkDepth(name string, value []byte) error {
	depth, inString := 0, false
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > MaxAttributeDepth {
				return TooLarge("attributes."+cut(name), "a value nests at most %d levels deep", MaxAttributeDepth)
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}
