package fsm

import (
	"crypto/sha256"

	"github.com/hydrastore/hydrastore/session"
)

// CarriedDigest is that of a session's attributes, in the order of their names, which a log-in in its place gets from its node and not from apply: those that are
// sealed, which open in their own session only, and the credentials, which the new session may keep sealed. As long as it stays the same the session may be
// patched while the log-in is under way, and apply takes the rest along as it is then.
func CarriedDigest(all []Attribute) [sha256.Size]byte {
	var blob []byte
	for _, a := range all {
		blob = appendAttribute(blob, a.Name, a.Value)
	}
	return digestOfCarried(blob)
}

func digestOfCarried(blob []byte) [sha256.Size]byte {
	var carried []byte
	for len(blob) > 0 {
		var name, value []byte
		name, value, blob = cutAttribute(blob)
		if !inTheOpen(value) || string(name) == session.CredentialsAttribute {
			carried = appendAttribute(carried, string(name), value)
		}
	}
	return sha256.Sum256(carried)
}
