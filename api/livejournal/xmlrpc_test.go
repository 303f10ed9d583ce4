package livejournal_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/hydrastore/hydrastore/api/livejournal"
)

// call is a call with one struct of strings.
func call(mode string, pairs ...string) string {
	var b strings.Builder
	b.WriteString("<?xml version='1.0'?>\n<methodCall><methodName>LJ.XMLRPC." + mode + "</methodName><params><param><value><struct>")
	for i := 0; i < len(pairs); i += 2 {
		value := "<string>" + pairs[i+1] + "</string>"
		if strings.HasPrefix(pairs[i+1], "<") {
			value = pairs[i+1]
		}
		b.WriteString("<member><name>" + pairs[i] + "</name><value>" + value + "</value></member>\n")
	}
	b.WriteString("</struct></value></param></params></methodCall>")
	return b.String()
}

func (s *site) xml(body string, headers ...string) string {
	s.t.Helper()
	response, text := s.send("POST", livejournal.XMLRPCPath, "text/xml", body, headers...)
	if response.StatusCode != 200 || response.Header.Get("Content-Type") != "text/xml" {
		s.t.Fatalf("%s: %d %s %q", body, response.StatusCode, response.Header.Get("Content-Type"), text)
	}
	return text
}

func (s *site) wantFault(code int, text, body string, headers ...string) {
	s.t.Helper()
	want := fmt.Sprintf("<fault><value><struct><member><name>faultCode</name><value><int>%d</int></value></member><member><name>faultString</name><value><string>%s</string></value></member></struct></value></fault></methodResponse>\n", code, text)
	if got := s.xml(body, headers...); !strings.HasSuffix(got, want) {
		s.t.Errorf("%.200s\n got %s\nwant %s", body, got, want)
	}
}

const answerHead = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<methodResponse><params><param><value><struct>"

func member(text, name string) string {
	found := regexp.MustCompile(`<member><name>` + name + `</name><value><(?:string|int)>([^<]*)</(?:string|int)></value></member>`).FindStringSubmatch(text)
	if found == nil {
		return ""
	}
	return found[1]
}

func TestXMLRPC(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, body := range []string{call("getchallenge"), "<methodCall><methodName>LJ.XMLRPC.getchallenge</methodName></methodCall>"} {
		got := s.xml(body)
		if !strings.HasPrefix(got, answerHead) || member(got, "auth_scheme") != "c0" || !challengeForm.MatchString(member(got, "challenge")) ||
			!strings.Contains(got, "<name>expire_time</name><value><int>") || !strings.Contains(got, "<name>server_time</name><value><int>") {
			t.Fatalf("got %s", got)
		}
	}
	got := s.xml(call("login", "username", "Test", "password", password, "ver", "<int>1</int>"))
	if member(got, "username") != "test" || member(got, "fullname") != "test" || !strings.Contains(got, "<name>usejournals</name><value><array><data></data></array>") {
		t.Errorf("login: %s", got)
	}
	generated := s.xml(call("sessiongenerate", "username", "test", "password", password, "ver", "<int>1</int>", "expiration", "long", "ipfixed", "1"))
	key := member(generated, "ljsession")
	if !keyForm.MatchString(key) {
		t.Fatalf("sessiongenerate: %s", generated)
	}
	challenge := member(s.xml(call("getchallenge")), "challenge")
	s.xml(call("sessiongenerate", "username", "test", "auth_method", "challenge", "auth_challenge", challenge, "auth_response", hexMD5(challenge+hexMD5(password))))
	got = s.xml(call("checksession", "username", "test", "auth_method", "cookie"), withCookie(key)...)
	if "ws:"+member(got, "session") != key || member(got, "username") != "test" || member(got, "caps") != "0" {
		t.Errorf("checksession: %s", got)
	}
	ids := "<array><data><value><int>1</int></value><value>77</value><value><struct></struct></value></data></array>"
	if got := s.xml(call("sessionexpire", "username", "test", "password", password, "expire", ids)); got != answerHead+"</struct></value></param></params></methodResponse>\n" {
		t.Errorf("sessionexpire: %s", got)
	}
	s.wantFault(101, "Invalid password", call("checksession", "username", "test", "auth_method", "cookie"), withCookie(key)...)
	if s.count() != 1 {
		t.Errorf("%d sessions live, want 1", s.count())
	}
	s.xml(call("sessionexpire", "username", "test", "hpassword", hexMD5(password), "expireall", "<boolean>1</boolean>"))
	if s.count() != 0 {
		t.Errorf("%d sessions live, want 0", s.count())
	}
}

func TestXMLRPCFaults(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.wantFault(200, "Client error: Missing required argument(s)", call("login", "password", password))
	s.wantFault(200, "Client error: Missing required argument(s)", call("login", "user", "test", "password", password))
	s.wantFault(100, "Invalid username", call("login", "username", "a b", "password", password))
	s.wantFault(101, "Invalid password", call("login", "username", "test", "password", "wrong"))
	s.wantFault(101, "Invalid password", call("sessiongenerate", "username", "nobody", "password", "wrong"))
	s.wantFault(201, "Client error: Unknown method", call("postevent", "username", "test", "password", password))
	s.wantFault(201, "Client error: Unknown method", strings.Replace(call("login"), "LJ.XMLRPC.", "", 1))
	s.wantFault(202, "Client error: Too many arguments",
		"<methodCall><methodName>LJ.XMLRPC.login</methodName><params><param><value>1</value></param><param><value>2</value></param></params></methodCall>")
	s.wantFault(203, "Client error: Invalid argument(s): the parameter must be a struct",
		"<methodCall><methodName>LJ.XMLRPC.login</methodName><params><param><value>test</value></param></params></methodCall>")
	s.wantFault(203, "Client error: Invalid argument(s): line 1, column 1: this is not well-formed XML", "")
	if text := s.xml("<methodCall>" + password); strings.Contains(text, password) {
		t.Errorf("an error repeats what was sent: %s", text)
	}
	response, text := s.send("GET", livejournal.XMLRPCPath, "", "")
	if response.StatusCode != 405 || !strings.Contains(text, "<fault>") {
		t.Errorf("GET: %d %s", response.StatusCode, text)
	}
}
