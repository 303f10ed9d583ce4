package api

import (
	"regexp"
	"strings"

	"github.com/hydrastore/hydrastore/session"
)

// keyShapes finds keys of the format ws, and runs of letters and digits that are long enough for a key without a prefix.
var keyShapes = regexp.MustCompile(`ws:[^\s:]*:[^\s:]*:[A-Za-z0-9]*|[A-Za-z0-9]{25,}`)

// redact takes whatever looks like a session key out of a text that is shown or logged. Texts name what a client sent,
// and a client may put its key where it does not belong. Keys that have a prefix are found wherever they stand, others where nothing
// is stuck to them that could be a part of them.
func redact(text string) string {
	return keyShapes.ReplaceAllStringFunc(redactNative(text), func(found string) string {
		switch {
		case strings.HasPrefix(found, "ws:"):
			return "ws:[redacted]"
		case isKey(found), isKey(strings.ToLower(found)): // in upper case it opens nothing, and says what would
			return "[redacted]"
		}
		return found
	})
}

func isKey(text string) bool {
	_, err := session.ParseKey(text)
	return err == nil
}

func redactNative(text string) string {
	if !strings.Contains(text, session.KeyPrefix) {
		return text
	}
	var clean strings.Builder
	for {
		before, after, found := strings.Cut(text, session.KeyPrefix)
		clean.WriteString(before)
		if !found {
			return clean.String()
		}
		clean.WriteString(session.KeyPrefix + "[redacted]")
		text = strings.TrimLeft(after, cookieNameAlphabet)
	}
}
