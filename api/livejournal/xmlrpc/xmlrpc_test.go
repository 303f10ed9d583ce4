package xmlrpc_test

import (
	"encoding/xml"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/hydrastore/hydrastore/api/livejournal/xmlrpc"
)

var limits = xmlrpc.Limits{Values: 100}

func wrap(value string) string {
	return "<methodCall><methodName>m</methodName><params><param><value>" + value + "</value></param></params></methodCall>"
}

func text(t string) xmlrpc.Value { return xmlrpc.Value{Kind: xmlrpc.Scalar, Text: t} }

func TestParse(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]xmlrpc.Value{
		wrap("bare"):   text("bare"),
		wrap(" bare "): text(" bare "),
		wrap(""):       text(""),
		wrap("<string>a &lt;&amp;&#65; b</string>"):                                     text("a <&A b"),
		wrap("\n <string><![CDATA[<b>]]></string>\n"):                                   text("<b>"),
		wrap("<int> 7 </int>"):                                                          text("7"),
		wrap("<i4>-0</i4>"):                                                             text("0"),
		wrap("<i8>9223372036854775807</i8>"):                                            text("9223372036854775807"),
		wrap("<boolean>1</boolean>"):                                                    text("1"),
		wrap("<double>1.5</double>"):                                                    text("1.5"),
		wrap("<base64>cMOk\nc3M=</base64>"):                                             text("päss"),
		wrap("<dateTime.iso8601>20260101T00:00:00</dateTime.iso8601>"):                  text("20260101T00:00:00"),
		wrap("<array><data><value>a</value><value><int>1</int></value></data></array>"): {Kind: xmlrpc.Array, Items: []xmlrpc.Value{text("a"), text("1")}},
		wrap("<struct><member><name>a b</name><value>c</value></member></struct>"):      {Kind: xmlrpc.Struct, Members: map[string]xmlrpc.Value{"a b": text("c")}},
		"<?xml version='1.0'?><!-- hello -->" + wrap("x") + "\n<!-- bye -->":            text("x"),
		`<?xml version="1.0" encoding="us-ascii"?>` + wrap("x"):                         text("x"),
		`<?xml version="1.0" encoding="ISO-8859-1"?>` + wrap("p\xe4ss"):                 text("päss"),
		`<?xml version="1.0" encoding="UTF-8"?>` + wrap("päss"):                         text("päss"),
	} {
		got, err := xmlrpc.Parse([]byte(body), limits)
		if err != nil || got.Method != "m" || len(got.Params) != 1 || !reflect.DeepEqual(got.Params[0], want) {
			t.Errorf("%s: got %+v, %v", body, got, err)
		}
	}
	if got, err := xmlrpc.Parse([]byte("<methodCall><methodName> m </methodName><params/></methodCall>"), limits); err != nil || got.Method != "m" || got.Params != nil {
		t.Errorf("got %+v, %v", got, err)
	}
}

// What an attacker sends, or a broken client: the answer says what is wrong and where, and nothing of what was sent.
func TestRefusals(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("<array><data><value>", 30) + strings.Repeat("</value></data></array>", 30)
	for body, want := range map[string]string{
		"":                                      "not well-formed",
		"hello":                                 "text where an element",
		"<methodCall>":                          "not well-formed",
		"<methodResponse/>":                     "methodCall is expected",
		"<methodCall/>":                         "methodName is expected",
		wrap("x") + "<more/>":                   "something follows",
		wrap("x") + "more":                      "something follows",
		wrap("\x00"):                            "not well-formed",
		wrap("\xff"):                            "not well-formed",
		wrap("<int>x</int>"):                    "an integer",
		wrap("<int>9223372036854775808</int>"):  "an integer",
		wrap("<boolean>2</boolean>"):            "0 or 1",
		wrap("<double>x</double>"):              "a number",
		wrap("<base64>?</base64>"):              "base64 is expected",
		wrap("<nil/>"):                          "a type",
		wrap("text<int>1</int>"):                "either text or an element",
		wrap("<int>1</int>text"):                "text where an element",
		wrap("<int>1</int><int>2</int>"):        "expected to end",
		wrap("<int><b/></int>"):                 "text is expected",
		wrap("<string a='b'>x</string>"):        "namespaces and attributes",
		wrap("<x:string>x</x:string>"):          "namespaces and attributes",
		wrap("<array><value>x</value></array>"): "data is expected",
		wrap("<array><data>x</data></array>"):   "text where an element",
		wrap("<struct><member><value>x</value></member></struct>"):                                                              "name is expected",
		wrap("<struct><member><name>a</name><value>1</value></member><member><name>a</name><value>2</value></member></struct>"): "given twice",
		wrap(deep): "deep",
		wrap("<array><data>" + strings.Repeat("<value>x</value>", 100) + "</data></array>"):              "too many values",
		`<!DOCTYPE x [<!ENTITY a "b">]>` + wrap("&a;"):                                                   "document types",
		`<!DOCTYPE lolz [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>` + wrap("&b;"): "document types",
		`<!DOCTYPE x SYSTEM "file:///etc/passwd">` + wrap("x"):                                           "document types",
		wrap("&a;"):             "not well-formed",
		wrap("<?php x?>"):       "a value is expected",
		"<?php x?>" + wrap("x"): "processing instructions",
		`<?xml version="1.0" encoding="UTF-7"?>` + wrap("x"):        "UTF-8, US-ASCII or ISO-8859-1",
		`<?xml version="1.0" encoding="us-ascii"?>` + wrap("p\xe4"): "UTF-8, US-ASCII or ISO-8859-1",
		`<?xml version="2.0"?>` + wrap("x"):                         "UTF-8, US-ASCII or ISO-8859-1",
	} {
		_, err := xmlrpc.Parse([]byte(body), limits)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "line ") || len(err.Error()) > 150 {
			t.Errorf("%.150q: got %v, want %q", body, err, want)
		}
	}
}

// What XML makes large of little is refused early: memory is bounded by what was sent.
func TestMemoryIsBoundedByTheBody(t *testing.T) {
	const size = 64 << 10
	for name, body := range map[string]string{
		"elements":   wrap("<array><data>" + strings.Repeat("<value/>", size/8) + "</data></array>"),
		"depth":      strings.Repeat("<a>", size/3),
		"text":       wrap(strings.Repeat("x", size)),
		"characters": wrap(strings.Repeat("&#65;", size/5)),
		"entities":   "<!DOCTYPE x [" + strings.Repeat("<!ENTITY a '&a;&a;'>", size/20) + "]>" + wrap("&a;"),
		"members":    wrap("<struct>" + strings.Repeat("<member><name>a</name><value/></member>", size/39) + "</struct>"),
		"attributes": "<methodCall " + strings.Repeat("a='b' ", size/6) + "/>",
		"comments":   "<!--" + strings.Repeat("x", size) + "-->" + wrap("x"),
		// Each declaration would read the one before it as text of another encoding, and make two bytes of one.
		"encodings": strings.Repeat(`<?xml version="1.0" encoding="latin1"?>`, 10) + wrap(strings.Repeat("\xe4", size)),
	} {
		var err error
		taken := ^uint64(0)
		for range 3 { // the runtime allocates now and then, too
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err = xmlrpc.Parse([]byte(body), xmlrpc.Limits{Values: 2000})
			runtime.ReadMemStats(&after)
			taken = min(taken, after.TotalAlloc-before.TotalAlloc)
		}
		if taken > 64*size {
			t.Errorf("%s: %d KiB were taken for a body of %d KiB (%v)", name, taken>>10, size>>10, err)
		}
	}
}

func TestWrite(t *testing.T) {
	t.Parallel()
	want := `<?xml version="1.0" encoding="UTF-8"?>` + "\n<methodResponse><params><param><value><struct>" +
		"<member><name>a</name><value><string>&lt;&amp;�</string></value></member><member><name>b</name><value><int>-7</int></value></member>" +
		"<member><name>c</name><value><array><data></data></array></value></member></struct></value></param></params></methodResponse>\n"
	if got := string(xmlrpc.Response(xmlrpc.Out{"b": int64(-7), "a": "<&\x00", "c": nil})); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, answer := range [][]byte{xmlrpc.Response(nil), xmlrpc.Fault(101, "a\n</x>")} {
		var anything struct {
			XMLName xml.Name
		}
		if err := xml.Unmarshal(answer, &anything); err != nil || anything.XMLName.Local != "methodResponse" {
			t.Errorf("%s: %v", answer, err)
		}
	}
}

// Whatever is sent: no panic, no more values than are allowed, and errors that tell little.
func FuzzParse(f *testing.F) {
	for _, value := range []string{"x", "<int>1</int>", "<base64>cA==</base64>", "<array><data><value>a</value></data></array>",
		"<struct><member><name>a</name><value><boolean>1</boolean></value></member></struct>", "&lt;<![CDATA[x]]>"} {
		f.Add([]byte(wrap(value)))
		f.Add([]byte(`<?xml version="1.0" encoding="iso-8859-1"?>` + wrap(value)))
	}
	f.Add([]byte(`<!DOCTYPE x [<!ENTITY a "b">]>` + wrap("&a;")))
	f.Add([]byte(strings.Repeat("<a>", 100)))
	f.Fuzz(func(t *testing.T, body []byte) {
		call, err := xmlrpc.Parse(body, limits)
		if err != nil {
			if len(err.Error()) > 150 {
				t.Fatalf("a long error: %v", err)
			}
			return
		}
		n := 0
		for _, p := range call.Params {
			n += count(p)
		}
		if n > limits.Values {
			t.Fatalf("%d values", n)
		}
	})
}

func count(v xmlrpc.Value) int {
	n := 1
	for _, item := range v.Items {
		n += count(item)
	}
	for _, item := range v.Members {
		n += count(item)
	}
	return n
}
