package node

import (
	"encoding/base64"

	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// resealStage is what a page of a reseal is of.
type resealStage int

const (
	resealSessions resealStage = iota
	resealPermanent
	resealUsers
	resealDone
)

// resealMarks begin the cursors of the stages; no cursor of a list begins like the later ones.
var resealMarks = [...]string{resealSessions: "", resealPermanent: "p.", resealUsers: "u."}

// resealCursor is where a page of a reseal begins.
type resealCursor struct {
	stage resealStage
	seq   uint64 // of sessions: those after
	name  string // of users likewise
}

// String is the cursor as callers see it; "" of what begins at the start and of what is done.
func (c resealCursor) String() string {
	switch c.stage {
	case resealDone:
		return ""
	case resealUsers:
		return resealMarks[resealUsers] + base64.RawURLEncoding.EncodeToString([]byte(c.name))
	}
	return resealMarks[c.stage] + cursor(c.seq)
}

func parseResealCursor(text string) (c resealCursor, err error) {
	if len(text) >= 2 && text[1] == '.' {
		switch text[:2] {
		case resealMarks[resealPermanent]:
			c.stage = resealPermanent
		case resealMarks[resealUsers]:
			raw, err := base64.RawURLEncoding.DecodeString(text[2:])
			if err != nil || len(raw) > session.MaxUserNameBytes {
				return c, session.ErrCursor()
			}
			return resealCursor{stage: resealUsers, name: string(raw)}, nil
		}
		text = text[2:]
	}
	c.seq, err = parseCursor(text)
	return c, err
}

// verifierCommands makes the commands that seal anew what an older key has sealed of one page of users.
func (n *Node) verifierCommands(id uint32, key *auth.SealKey, at resealCursor) (commands []*fsmpb.Command, next resealCursor, err error) {
	records := n.fsm.ListUsers(at.name, session.MaxPageSize)
	for _, u := range records {
		with, _, isSealed := fsm.CutSealed(u.Verifier)
		if !isSealed || with == id {
			continue
		}
		value, err := n.sealing.openFor(auth.VerifierOwner(u.Name), auth.SealedMD5, u.Verifier)
		if err != nil {
			return nil, next, err
		}
		anew, err := n.sealing.sealWith(id, key, auth.VerifierOwner(u.Name), auth.SealedMD5, value)
		if err != nil {
			return nil, next, err
		}
		commands = append(commands, &fsmpb.Command{Kind: &fsmpb.Command_ReplaceSealed{ReplaceSealed: &fsmpb.ReplaceSealed{
			User: u.Name, Changes: []*fsmpb.SealedChange{{Old: u.Verifier, New: anew}},
		}}})
	}
	next.stage = resealDone
	if len(records) == session.MaxPageSize {
		next = resealCursor{stage: resealUsers, name: records[len(records)-1].Name}
	}
	return commands, next, nil
}
