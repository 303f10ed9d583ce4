package node

import (
	"context"
	"encoding/base64"
	"strings"

	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// A reseal passes the sessions first, then the users. A cursor that begins with this is among the users.
const verifierCursorMark = "u"

func cursorOfVerifiers(after string) string {
	return verifierCursorMark + base64.RawURLEncoding.EncodeToString([]byte(after))
}

// verifierCursor tells whether a cursor is among the users, and after which.
func verifierCursor(text string) (ofUsers bool, after string, err error) {
	encoded, ofUsers := strings.CutPrefix(text, verifierCursorMark)
	if !ofUsers {
		return false, "", nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil || len(raw) > session.MaxUserNameBytes {
		return true, "", session.ErrCursor()
	}
	return true, string(raw), nil
}

// resealVerifiers seals anew what an older key has sealed of one page of users.
func (n *Node) resealVerifiers(ctx context.Context, id uint32, key *auth.SealKey, after string) (count int, next string, err error) {
	records := n.fsm.ListUsers(after, session.MaxPageSize)
	var commands []*fsmpb.Command
	for _, u := range records {
		with, _, isSealed := fsm.CutSealed(u.Verifier)
		if !isSealed || with == id {
			continue
		}
		value, err := n.sealing.openFor(auth.VerifierOwner(u.Name), auth.SealedMD5, u.Verifier)
		if err != nil {
			return 0, "", err
		}
		anew, err := n.sealing.sealWith(id, key, auth.VerifierOwner(u.Name), auth.SealedMD5, value)
		if err != nil {
			return 0, "", err
		}
		commands = append(commands, &fsmpb.Command{Kind: &fsmpb.Command_ReplaceSealed{ReplaceSealed: &fsmpb.ReplaceSealed{
			User: u.Name, Changes: []*fsmpb.SealedChange{{Old: u.Verifier, New: anew}},
		}}})
	}
	if len(records) == session.MaxPageSize {
		next = cursorOfVerifiers(records[len(records)-1].Name)
	}
	count, err = n.resealAll(ctx, commands)
	return count, next, err
}
