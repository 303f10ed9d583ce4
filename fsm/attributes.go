package fsm

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// A session's attributes are one blob: per attribute, in the order of names, a byte with the name's length, two with
// the value's, the name, the value.
const attributeHeader = 3

// maxBlobBytes is the length of the longest blob: attributes at their limit.
const maxBlobBytes = session.MaxAttributesBytes + session.MaxAttributes*attributeHeader

func appendAttribute(blob []byte, name string, value []byte) []byte {
	blob = append(blob, byte(len(name)))
	blob = binary.LittleEndian.AppendUint16(blob, uint16(len(value)))
	blob = append(blob, name...)
	return append(blob, value...)
}

// cutAttribute returns the first attribute of a blob that is not empty, and the rest. The slices share the blob's memory.
func cutAttribute(blob []byte) (name, value, rest []byte) {
	n, v := int(blob[0]), int(binary.LittleEndian.Uint16(blob[1:]))
	at := attributeHeader + n
	return blob[attributeHeader:at:at], blob[at : at+v : at+v], blob[at+v:]
}

// validAttributes tells whether bytes from a snapshot are a blob of attributes within the limits.
func (s *state) validAttributes(blob []byte) bool { return validBlob(blob, s.mayStore) }

func validBlob(blob []byte, mayStore func(value []byte) bool) bool {
	var last []byte
	count, total := 0, 0
	for len(blob) > 0 {
		if len(blob) < attributeHeader || len(blob) < attributeHeader+int(blob[0])+int(binary.LittleEndian.Uint16(blob[1:])) {
			return false
		}
		var name, value []byte
		name, value, blob = cutAttribute(blob)
		if len(name) == 0 || len(name) > session.MaxAttributeNameBytes || len(value) > session.MaxAttributeBytes || bytes.Compare(name, last) <= 0 || !mayStore(value) {
			return false
		}
		last, count, total = name, count+1, total+len(name)+len(value)
	}
	return count <= session.MaxAttributes && total <= session.MaxAttributesBytes
}

// checkChanges orders changes by name and judges each by itself.
func (s *state) checkChanges(changes []*fsmpb.AttributeChange) ([]*fsmpb.AttributeChange, fsmpb.Code) {
	if len(changes) > session.MaxAttributes {
		return nil, fsmpb.Code_CODE_TOO_LARGE
	}
	byName := func(a, b *fsmpb.AttributeChange) int { return strings.Compare(a.Name, b.Name) }
	if !slices.IsSortedFunc(changes, byName) {
		changes = slices.Clone(changes)
		slices.SortFunc(changes, byName)
	}
	for i, c := range changes {
		switch {
		case c.Name == "" || i > 0 && c.Name == changes[i-1].Name || c.Delete && len(c.Value) > 0:
			return nil, fsmpb.Code_CODE_INVALID
		case len(c.Name) > session.MaxAttributeNameBytes || len(c.Value) > session.MaxAttributeBytes:
			return nil, fsmpb.Code_CODE_TOO_LARGE
		}
	}
	if slices.ContainsFunc(changes, func(c *fsmpb.AttributeChange) bool { return !s.mayStore(c.Value) }) {
		return nil, fsmpb.Code_CODE_CONFLICT
	}
	return changes, fsmpb.Code_CODE_OK
}

// mergeAttributes returns the blob that changes, in the order of names, make of another one.
func mergeAttributes(blob []byte, changes []*fsmpb.AttributeChange) (out []byte, code fsmpb.Code) {
	count, total := 0, 0
	add := func(name string, value []byte) {
		if count, total = count+1, total+len(name)+len(value); count <= session.MaxAttributes && total <= session.MaxAttributesBytes {
			out = appendAttribute(out, name, value)
		}
	}
	for len(blob) > 0 || len(changes) > 0 {
		if len(blob) > 0 {
			name, value, rest := cutAttribute(blob)
			if len(changes) == 0 || string(name) < changes[0].Name {
				add(string(name), value)
				blob = rest
				continue
			}
			if string(name) == changes[0].Name {
				blob = rest
			}
		}
		if !changes[0].Delete {
			add(changes[0].Name, changes[0].Value)
		}
		changes = changes[1:]
	}
	if count > session.MaxAttributes || total > session.MaxAttributesBytes {
		return nil, fsmpb.Code_CODE_TOO_LARGE
	}
	return out, fsmpb.Code_CODE_OK
}

// firstAttributes returns the blob of a new session's attributes, laid over those of a session before it, if any.
func (s *state) firstAttributes(before []byte, attributes []*fsmpb.Attribute) ([]byte, fsmpb.Code) {
	if len(attributes) == 0 {
		return before, fsmpb.Code_CODE_OK
	}
	changes := make([]*fsmpb.AttributeChange, len(attributes))
	for i, a := range attributes {
		changes[i] = &fsmpb.AttributeChange{Name: a.Name, Value: a.Value}
	}
	changes, code := s.checkChanges(changes)
	if code != fsmpb.Code_CODE_OK {
		return nil, code
	}
	return mergeAttributes(before, changes)
}

// attributesOf copies a blob out.
func attributesOf(blob []byte) []Attribute {
	if len(blob) == 0 {
		return nil
	}
	var out []Attribute
	for own := bytes.Clone(blob); len(own) > 0; {
		var name, value []byte
		name, value, own = cutAttribute(own)
		out = append(out, Attribute{Name: string(name), Value: value})
	}
	return out
}
