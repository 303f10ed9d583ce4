package livejournal

import (
	"net/http"
	"regexp"
	"strings"

	"github.com/hydrastore/hydrastore/session"
)

const (
	// MaxBodyBytes of a request, well below what the server takes: XML needs many times its length to be read.
	MaxBodyBytes = 64 << 10
	// MaxArguments of a request, and values in XML-RPC.
	MaxArguments = 2000
)

func limitBody(body []byte) error {
	if len(body) > MaxBodyBytes {
		return session.TooLarge("body", "a request has at most %d bytes", MaxBodyBytes)
	}
	return nil
}

// request is what both forms of the protocol come to.
type request struct {
	mode    string
	args    map[string]string
	ids     []string // of sessions to expire, as they were sent
	user    string   // canonical
	call    session.Call
	headers http.Header
}

// truth tells what Perl makes of an argument: absent, empty and "0" are false.
func (r *request) truth(name string) bool { return isTrue(r.args[name]) }

func isTrue(text string) bool { return text != "" && text != "0" }

var userName = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// canonicalUser trims and folds a name as LiveJournal does; false when it is none.
func (c Config) canonicalUser(name string) (string, bool) {
	name = strings.Trim(name, " \t\r\n\v\f")
	if len(name) > c.MaxUserName || !userName.MatchString(name) {
		return "", false
	}
	return strings.ReplaceAll(strings.ToLower(name), "-", "_"), true
}

// reply is what both forms make an answer of. Text and numbers are told apart in XML-RPC only.
type reply struct {
	texts   map[string]string
	numbers map[string]int64
	lists   []string // names of lists, all of them empty: what a journal would fill
	cookies []string // to be cleared
}

// header has what of an answer is no body.
func (r reply) header() http.Header {
	if len(r.cookies) == 0 {
		return nil
	}
	h := http.Header{}
	for _, name := range r.cookies {
		h.Add("Set-Cookie", (&http.Cookie{Name: name, Path: "/", MaxAge: -1, HttpOnly: true}).String())
	}
	return h
}
