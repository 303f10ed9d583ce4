package api

import (
	"strings"

	"github.com/hydrastore/hydrastore/session"
)

// redact takes whatever looks like a session key out of a text that is shown or logged. Texts name what a client sent,
// and a client may put its key where it does not belong.
func redact(text string) string {
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
