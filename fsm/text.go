package fsm

import (
	"unicode/utf8"

	"github.com/hydrastore/hydrastore/fsm/fsmpb"
)

// textIsValid tells whether every text of a command is UTF-8, as protobuf promises: the fast decoder does not look.
func textIsValid(c *fsmpb.Command) bool {
	switch k := c.Kind.(type) {
	case *fsmpb.Command_CreateSession:
		s := k.CreateSession
		if s == nil {
			return true
		}
		for _, a := range s.Attributes {
			if a != nil && !utf8.ValidString(a.Name) {
				return false
			}
		}
		return valid(s.User, s.Policy, s.UserAgent)
	case *fsmpb.Command_PatchAttributes:
		return changesAreValid(k.PatchAttributes.GetChanges())
	case *fsmpb.Command_AlterSession:
		return changesAreValid(k.AlterSession.GetChanges())
	case *fsmpb.Command_PatchPreferences:
		return changesAreValid(k.PatchPreferences.GetChanges())
	case *fsmpb.Command_HoldSealKeys:
		return valid(k.HoldSealKeys.GetNode())
	case *fsmpb.Command_ReplaceSealed:
		for _, c := range k.ReplaceSealed.GetChanges() {
			if !utf8.ValidString(c.GetName()) {
				return false
			}
		}
	case *fsmpb.Command_RevokeUserSessions:
		return valid(k.RevokeUserSessions.GetUser())
	case *fsmpb.Command_PutUser:
		return valid(k.PutUser.GetName(), k.PutUser.GetPasswordHash()) && valid(k.PutUser.GetPolicies().GetNames()...)
	case *fsmpb.Command_UpgradePassword:
		return valid(k.UpgradePassword.GetUser(), k.UpgradePassword.GetPasswordHash())
	case *fsmpb.Command_DeleteUser:
		return valid(k.DeleteUser.GetName())
	case *fsmpb.Command_PutPolicy:
		return valid(k.PutPolicy.GetName())
	case *fsmpb.Command_DeletePolicy:
		return valid(k.DeletePolicy.GetName())
	case *fsmpb.Command_LoginFailed:
		return valid(k.LoginFailed.GetUser())
	}
	return true
}

func changesAreValid(changes []*fsmpb.AttributeChange) bool {
	for _, c := range changes {
		if !utf8.ValidString(c.GetName()) {
			return false
		}
	}
	return true
}

func valid(texts ...string) bool {
	for _, t := range texts {
		if !utf8.ValidString(t) {
			return false
		}
	}
	return true
}
