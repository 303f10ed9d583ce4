package xmlrpc

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"maps"
	"slices"
)

// Out is a struct that is sent: texts, int64s, and nil for an empty array.
type Out map[string]any

const (
	head = xml.Header + "<methodResponse>"
	tail = "</methodResponse>\n"
)

// Response is the answer to a call that was done.
func Response(o Out) []byte {
	var b bytes.Buffer
	b.WriteString(head + "<params><param>")
	o.write(&b)
	b.WriteString("</param></params>" + tail)
	return b.Bytes()
}

// Fault is the answer to one that was not.
func Fault(code int, text string) []byte {
	var b bytes.Buffer
	b.WriteString(head + "<fault>")
	Out{"faultCode": int64(code), "faultString": text}.write(&b)
	b.WriteString("</fault>" + tail)
	return b.Bytes()
}

// write writes the struct as a value, its members in the order of their names.
func (o Out) write(b *bytes.Buffer) {
	b.WriteString("<value><struct>")
	for _, name := range slices.Sorted(maps.Keys(o)) {
		b.WriteString("<member><name>")
		escape(b, name)
		b.WriteString("</name><value>")
		switch v := o[name].(type) {
		case int64:
			fmt.Fprintf(b, "<int>%d</int>", v)
		case string:
			b.WriteString("<string>")
			escape(b, v)
			b.WriteString("</string>")
		default:
			b.WriteString("<array><data></data></array>")
		}
		b.WriteString("</value></member>")
	}
	b.WriteString("</struct></value>")
}

// escape writes text; what XML cannot hold becomes U+FFFD.
func escape(b *bytes.Buffer, text string) { _ = xml.EscapeText(b, []byte(text)) }
