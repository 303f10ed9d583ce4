// Package xmlrpc reads calls of XML-RPC and writes the answers: as much of it as LiveJournal's protocol needs, and strictly. There are no
// document types, entities beside XML's own five, namespaces or attributes, and what is read is bounded in bytes (by the caller),
// depth and number of values.
package xmlrpc

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxDepth is how deep elements stand in one another: methodCall, params, param, value, and values within them.
const maxDepth = 24

// Kind of a Value.
type Kind int

const (
	Scalar Kind = iota + 1
	Array
	Struct
)

// Value is one that was sent. Scalars of every type are their text: booleans "0" or "1", base64 what it encodes.
type Value struct {
	Kind    Kind
	Text    string
	Items   []Value
	Members map[string]Value
}

// Call is one that was sent.
type Call struct {
	Method string
	Params []Value
}

// Limits of a call beside the bytes of its body.
type Limits struct {
	Values int // in all, those within others among them
}

// Parse reads a call. Its errors are for the client, and quote nothing of the body.
func Parse(body []byte, l Limits) (Call, error) {
	p := &parser{d: xml.NewDecoder(bytes.NewReader(body)), left: l.Values}
	p.d.CharsetReader = p.charset
	c, err := p.call()
	if err != nil {
		return Call{}, p.explain(err)
	}
	return c, nil
}

// charset reads what old clients declare. UTF-8 is read by the decoder itself, which asks here for every declaration, wherever it stands: one
// behind another would make two bytes of each that the other has made.
func (p *parser) charset(label string, in io.Reader) (io.Reader, error) {
	if p.declared || p.depth > 0 {
		return nil, errCharset
	}
	p.declared = true
	data, err := io.ReadAll(in) // of a body that is in memory already
	if err != nil {
		return nil, err
	}
	switch strings.ToLower(label) {
	case "us-ascii", "ascii":
		if bytes.ContainsFunc(data, func(r rune) bool { return r >= utf8.RuneSelf }) {
			return nil, errors.New("it says that it is ASCII, and is not")
		}
	case "iso-8859-1", "latin1":
		runes := make([]rune, len(data))
		for i, b := range data {
			runes[i] = rune(b)
		}
		data = []byte(string(runes))
	default:
		return nil, errCharset
	}
	return bytes.NewReader(data), nil
}

var (
	errCharset = errors.New("its encoding must be UTF-8, US-ASCII or ISO-8859-1")
	errDeep    = fmt.Errorf("elements stand more than %d deep", maxDepth)
)

// parser reads one call.
type parser struct {
	d        *xml.Decoder
	depth    int
	left     int  // values that may still come
	declared bool // an encoding that is not the decoder's own
}

// explain tells what is wrong, and where, without quoting what was sent: it may be a password.
func (p *parser) explain(err error) error {
	line, column := p.d.InputPos()
	var syntax *xml.SyntaxError
	switch {
	case errors.As(err, &syntax), errors.Is(err, io.EOF):
		return fmt.Errorf("line %d, column %d: this is not well-formed XML", line, column)
	case strings.HasPrefix(err.Error(), "xml:"): // of the decoder, which quotes the encoding
		return fmt.Errorf("line %d, column %d: %w", line, column, errCharset)
	}
	return fmt.Errorf("line %d, column %d: %w", line, column, err)
}

// next returns the next beginning or end of an element, or text that is not blank; nothing else may be there.
func (p *parser) next() (xml.Token, error) {
	for {
		token, err := p.d.Token()
		if err != nil {
			return nil, err
		}
		switch t := token.(type) {
		case xml.Comment:
		case xml.CharData:
			if len(bytes.TrimSpace(t)) > 0 {
				return nil, errors.New("there is text where an element is expected")
			}
		case xml.ProcInst:
			if t.Target != "xml" || p.depth > 0 {
				return nil, errors.New("processing instructions are not taken")
			}
		case xml.Directive:
			return nil, errors.New("document types and other directives are not taken")
		case xml.StartElement:
			return t, p.enter(t)
		case xml.EndElement:
			p.depth--
			return t, nil
		}
	}
}

func (p *parser) enter(e xml.StartElement) error {
	if p.depth++; p.depth > maxDepth {
		return errDeep
	}
	if e.Name.Space != "" || len(e.Attr) > 0 {
		return errors.New("namespaces and attributes are not taken")
	}
	return nil
}

// start wants an element to begin; "" when the one around it ends instead.
func (p *parser) start() (string, error) {
	token, err := p.next()
	if err != nil {
		return "", err
	}
	if e, ok := token.(xml.StartElement); ok {
		return e.Name.Local, nil
	}
	return "", nil
}

// open wants a certain element to begin.
func (p *parser) open(name string) error {
	got, err := p.start()
	if err == nil && got != name {
		err = fmt.Errorf("the element %s is expected", name)
	}
	return err
}

// end wants the present element to end.
func (p *parser) end() error {
	got, err := p.start()
	if err == nil && got != "" {
		err = errors.New("an element is expected to end")
	}
	return err
}

// text reads an element to its end, which holds nothing but text.
func (p *parser) text() (string, error) {
	var out []byte
	for {
		token, err := p.d.Token()
		if err != nil {
			return "", err
		}
		switch t := token.(type) {
		case xml.CharData:
			out = append(out, t...)
		case xml.Comment:
		case xml.EndElement:
			p.depth--
			return string(out), nil
		default:
			return "", errors.New("text is expected, and nothing else")
		}
	}
}

func (p *parser) call() (c Call, err error) {
	if err := p.open("methodCall"); err != nil {
		return c, err
	}
	if err := p.open("methodName"); err != nil {
		return c, err
	}
	if c.Method, err = p.text(); err != nil {
		return c, err
	}
	c.Method = strings.TrimSpace(c.Method)
	switch name, err := p.start(); {
	case err != nil:
		return c, err
	case name == "params":
		if c.Params, err = p.params(); err != nil {
			return c, err
		}
		if err := p.end(); err != nil {
			return c, err
		}
	case name != "":
		return c, errors.New("the element params is expected")
	}
	if _, err := p.next(); !errors.Is(err, io.EOF) {
		return c, errors.New("something follows the call")
	}
	return c, nil
}

func (p *parser) params() (out []Value, err error) {
	for {
		name, err := p.start()
		switch {
		case err != nil:
			return nil, err
		case name == "":
			return out, nil
		case name != "param":
			return nil, errors.New("the element param is expected")
		}
		if err := p.open("value"); err != nil {
			return nil, err
		}
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		out = append(out, v)
		if err := p.end(); err != nil {
			return nil, err
		}
	}
}

// value reads what stands in an element value, to its end. Without an element in it, it is a string.
func (p *parser) value() (Value, error) {
	if p.left--; p.left < 0 {
		return Value{}, errors.New("there are too many values")
	}
	var text []byte
	for {
		token, err := p.d.Token()
		if err != nil {
			return Value{}, err
		}
		switch t := token.(type) {
		case xml.Comment:
		case xml.CharData:
			text = append(text, t...)
		case xml.EndElement:
			p.depth--
			return Value{Kind: Scalar, Text: string(text)}, nil
		case xml.StartElement:
			if len(bytes.TrimSpace(text)) > 0 {
				return Value{}, errors.New("a value is either text or an element")
			}
			if err := p.enter(t); err != nil {
				return Value{}, err
			}
			v, err := p.typed(t.Name.Local)
			if err != nil {
				return Value{}, err
			}
			return v, p.end()
		default:
			return Value{}, errors.New("a value is expected")
		}
	}
}

// typed reads the element of a type to its end.
func (p *parser) typed(name string) (Value, error) {
	switch name {
	case "struct":
		return p.structure()
	case "array":
		return p.array()
	}
	text, err := p.text()
	if err == nil {
		text, err = scalar(name, text)
	}
	return Value{Kind: Scalar, Text: text}, err
}

// scalar judges a text by its type.
func scalar(name, text string) (string, error) {
	bare := strings.TrimSpace(text)
	switch name {
	case "string", "dateTime.iso8601":
		return text, nil
	case "int", "i4", "i8":
		n, err := strconv.ParseInt(bare, 10, 64)
		if err != nil {
			return "", errors.New("an integer is expected")
		}
		return strconv.FormatInt(n, 10), nil
	case "double":
		if _, err := strconv.ParseFloat(bare, 64); err != nil {
			return "", errors.New("a number is expected")
		}
		return bare, nil
	case "boolean":
		if bare != "0" && bare != "1" {
			return "", errors.New("a boolean is 0 or 1")
		}
		return bare, nil
	case "base64":
		raw, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
		if err != nil {
			return "", errors.New("base64 is expected")
		}
		return string(raw), nil
	}
	return "", errors.New("a value has a type that XML-RPC does not know")
}

func (p *parser) array() (Value, error) {
	out := Value{Kind: Array}
	if err := p.open("data"); err != nil {
		return out, err
	}
	for {
		name, err := p.start()
		switch {
		case err != nil:
			return out, err
		case name == "":
			return out, p.end()
		case name != "value":
			return out, errors.New("the element value is expected")
		}
		v, err := p.value()
		if err != nil {
			return out, err
		}
		out.Items = append(out.Items, v)
	}
}

func (p *parser) structure() (Value, error) {
	out := Value{Kind: Struct, Members: map[string]Value{}}
	for {
		element, err := p.start()
		switch {
		case err != nil:
			return out, err
		case element == "":
			return out, nil
		case element != "member":
			return out, errors.New("the element member is expected")
		}
		if err := p.member(out.Members); err != nil {
			return out, err
		}
	}
}

func (p *parser) member(members map[string]Value) error {
	if err := p.open("name"); err != nil {
		return err
	}
	name, err := p.text()
	if err != nil {
		return err
	}
	if _, twice := members[name]; twice {
		return errors.New("a member is given twice")
	}
	if err := p.open("value"); err != nil {
		return err
	}
	v, err := p.value()
	if err != nil {
		return err
	}
	members[name] = v
	return p.end()
}
