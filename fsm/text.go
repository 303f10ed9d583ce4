package fsm

import (
	"slices"
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
		return attributesAreValid(s.Attributes) && valid(s.User, s.Policy, s.UserAgent, verifiedUser(s.Authority))
	case *fsmpb.Command_TouchSession:
		return valid(verifiedUser(k.TouchSession.GetAuthority()))
	case *fsmpb.Command_PatchAttributes:
		return valid(verifiedUser(k.PatchAttributes.GetAuthority())) && changesAreValid(k.PatchAttributes.GetChanges())
	case *fsmpb.Command_AlterSession:
		return valid(verifiedUser(k.AlterSession.GetAuthority())) && changesAreValid(k.AlterSession.GetChanges())
	case *fsmpb.Command_RotateSession:
		return valid(verifiedUser(k.RotateSession.GetAuthority()))
	case *fsmpb.Command_RevokeSession:
		return valid(verifiedUser(k.RevokeSession.GetAuthority()))
	case *fsmpb.Command_RevokeSessions:
		return valid(verifiedUser(k.RevokeSessions.GetAuthority()))
	case *fsmpb.Command_PatchPreferences:
		return valid(verifiedUser(k.PatchPreferences.GetAuthority())) && changesAreValid(k.PatchPreferences.GetChanges())
	case *fsmpb.Command_HoldSealKeys:
		return valid(k.HoldSealKeys.GetNode())
	case *fsmpb.Command_ReplaceSealed:
		for _, c := range k.ReplaceSealed.GetChanges() {
			if !utf8.ValidString(c.GetName()) {
				return false
			}
		}
		return valid(k.ReplaceSealed.GetUser())
	case *fsmpb.Command_RevokeUserSessions:
		return valid(k.RevokeUserSessions.GetUser(), verifiedUser(k.RevokeUserSessions.GetAuthority()))
	case *fsmpb.Command_PutUser:
		return valid(k.PutUser.GetName(), k.PutUser.GetPasswordHash(), verifiedUser(k.PutUser.GetAuthority())) && valid(k.PutUser.GetPolicies().GetNames()...)
	case *fsmpb.Command_UpgradePassword:
		return valid(k.UpgradePassword.GetUser(), k.UpgradePassword.GetPasswordHash())
	case *fsmpb.Command_DeleteUser:
		return valid(k.DeleteUser.GetName(), verifiedUser(k.DeleteUser.GetAuthority()))
	case *fsmpb.Command_PutPolicy:
		return valid(k.PutPolicy.GetName(), verifiedUser(k.PutPolicy.GetAuthority()))
	case *fsmpb.Command_DeletePolicy:
		return valid(k.DeletePolicy.GetName(), verifiedUser(k.DeletePolicy.GetAuthority()))
	case *fsmpb.Command_PutLimits:
		return valid(verifiedUser(k.PutLimits.GetAuthority()))
	case *fsmpb.Command_LoginFailed:
		return valid(k.LoginFailed.GetUser())
	case *fsmpb.Command_BeginImport:
		return importIsValid(k.BeginImport)
	case *fsmpb.Command_ImportPast:
		return valid(k.ImportPast.GetOrigin()) && !slices.ContainsFunc(k.ImportPast.GetPolicies(), func(m *fsmpb.MovedPast) bool { return !valid(m.GetPolicy()) })
	case *fsmpb.Command_ImportUsers:
		return valid(k.ImportUsers.GetOrigin()) && !slices.ContainsFunc(k.ImportUsers.GetUsers(), func(m *fsmpb.MovedUser) bool { return !movedUserIsValid(m) })
	case *fsmpb.Command_ImportSessions:
		return valid(k.ImportSessions.GetOrigin()) && !slices.ContainsFunc(k.ImportSessions.GetSessions(), func(m *fsmpb.MovedSession) bool { return !movedSessionIsValid(m) })
	case *fsmpb.Command_FinishImport:
		return valid(k.FinishImport.GetOrigin())
	}
	return true
}

func importIsValid(m *fsmpb.BeginImport) bool {
	for _, p := range m.GetPolicies() {
		if !valid(p.GetPolicy().GetName(), verifiedUser(p.GetPolicy().GetAuthority())) {
			return false
		}
	}
	return valid(m.GetOrigin())
}

func movedUserIsValid(m *fsmpb.MovedUser) bool {
	return valid(m.GetName(), m.GetAccount().GetPasswordHash()) && valid(m.GetAccount().GetPolicies()...) && attributesAreValid(m.GetPreferences())
}

func movedSessionIsValid(m *fsmpb.MovedSession) bool {
	return valid(m.GetUser(), m.GetPolicy(), m.GetUserAgent()) && attributesAreValid(m.GetAttributes())
}

func attributesAreValid(attributes []*fsmpb.Attribute) bool {
	return !slices.ContainsFunc(attributes, func(a *fsmpb.Attribute) bool { return !utf8.ValidString(a.GetName()) })
}

func changesAreValid(changes []*fsmpb.AttributeChange) bool {
	for _, c := range changes {
		if !utf8.ValidString(c.GetName()) {
			return false
		}
	}
	return true
}

func verifiedUser(a *fsmpb.Authority) string { return a.GetVerified().GetUser() }

func valid(texts ...string) bool {
	for _, t := range texts {
		if !utf8.ValidString(t) {
			return false
		}
	}
	return true
}
