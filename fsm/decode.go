package fsm

import (
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/hydrastore/hydrastore/fsm/fsmpb"
)

const (
	// MaxEntryBytes bounds an entry; nodes propose at most a quarter of it, and one oversized command.
	MaxEntryBytes = 1 << 20
	// MaxEntryCommands bounds the commands of an entry; nodes propose far fewer.
	MaxEntryCommands = 1 << 15
	// MaxEndsOfEntry bounds how many sessions an entry may be told to end by itself.
	MaxEndsOfEntry = 4096
	// MaxClockMS is the last millisecond of the year 9999: no sum of an instant and a timeout overflows.
	MaxClockMS = 253402300799999
)

// decodeEntry decodes and judges a whole entry before anything is applied. An error means that this code cannot know what the
// entry would do to other nodes, so that the node must stop.
func decodeEntry(data []byte, level uint32) (*fsmpb.Entry, int, error) {
	if len(data) > MaxEntryBytes {
		return nil, 0, fmt.Errorf("entry has %d bytes, at most %d are possible", len(data), MaxEntryBytes)
	}
	entry := &fsmpb.Entry{}
	if err := entry.UnmarshalVT(data); err != nil {
		return nil, 0, fmt.Errorf("entry is no protobuf entry: %w", err)
	}
	switch l := entry.FormatLevel; {
	case l > SupportedFormatLevel:
		return nil, 0, fmt.Errorf("entry has format level %d, this release supports %d: install a newer release on this node", l, SupportedFormatLevel)
	case l == 0 || l > level:
		return nil, 0, fmt.Errorf("entry has format level %d, the cluster is at %d", l, level)
	case entry.ClockMs < 0 || entry.ClockMs > MaxClockMS:
		return nil, 0, fmt.Errorf("entry has the clock %d, outside of 0 to %d", entry.ClockMs, int64(MaxClockMS))
	case entry.Ends > MaxEndsOfEntry:
		return nil, 0, fmt.Errorf("entry is to end %d sessions by itself, at most %d are possible", entry.Ends, MaxEndsOfEntry)
	case hasUnknown(entry):
		return nil, 0, errUnknownField("entry")
	}
	commands := 0
	for _, b := range entry.Batches {
		if hasUnknown(b) {
			return nil, 0, errUnknownField("batch")
		}
		if !utf8.ValidString(b.OriginNode) {
			return nil, 0, errBrokenText()
		}
		if commands += len(b.Commands); commands > MaxEntryCommands {
			return nil, 0, fmt.Errorf("entry has more than %d commands", MaxEntryCommands)
		}
		for _, c := range b.Commands {
			if err := checkCommand(c); err != nil {
				return nil, 0, err
			}
			if !textIsValid(c) {
				return nil, 0, errBrokenText()
			}
		}
	}
	return entry, commands, nil
}

func errBrokenText() error { return errors.New("entry is no protobuf entry: a text is not UTF-8") }

func errUnknownField(where string) error {
	return fmt.Errorf("%s holds a field that this release does not know: install a newer release on this node", where)
}

func hasUnknown(m proto.Message) bool { return len(m.ProtoReflect().GetUnknown()) > 0 }

// checkCommand refuses a command that another release may understand and this one does not.
func checkCommand(c *fsmpb.Command) error {
	if c.Kind == nil {
		if c.Ignorable {
			return nil // whatever else it holds
		}
		return fmt.Errorf("command is of a kind that this release does not know: install a newer release on this node")
	}
	if hasUnknown(c) || kindHasUnknown(c) {
		return errUnknownField("command")
	}
	if set, ok := c.Kind.(*fsmpb.Command_SetFormatLevel); ok && set.SetFormatLevel.GetLevel() > SupportedFormatLevel {
		return fmt.Errorf("cluster moves to format level %d, this release supports %d: install a newer release on this node", set.SetFormatLevel.Level, SupportedFormatLevel)
	}
	return nil
}

// kindHasUnknown looks into every message of a command. It names them one by one, because walking by reflection takes
// longer than applying; a test walks by reflection and finds what is missing here.
func kindHasUnknown(c *fsmpb.Command) bool {
	switch k := c.Kind.(type) {
	case *fsmpb.Command_CreateSession:
		m := k.CreateSession
		if hasUnknown(m) || authorityHasUnknown(m.Authority) || m.Idempotency != nil && hasUnknown(m.Idempotency) ||
			m.Attempt != nil && hasUnknown(m.Attempt) || m.Outside != nil && (hasUnknown(m.Outside) || rolesHaveUnknown(m.Outside.Roles)) {
			return true
		}
		for _, a := range m.Attributes {
			if hasUnknown(a) {
				return true
			}
		}
		return false
	case *fsmpb.Command_TouchSession:
		return hasUnknown(k.TouchSession) || authorityHasUnknown(k.TouchSession.Authority)
	case *fsmpb.Command_PatchAttributes:
		return hasUnknown(k.PatchAttributes) || authorityHasUnknown(k.PatchAttributes.Authority) || changesHaveUnknown(k.PatchAttributes.Changes)
	case *fsmpb.Command_AlterSession:
		return hasUnknown(k.AlterSession) || authorityHasUnknown(k.AlterSession.Authority) || changesHaveUnknown(k.AlterSession.Changes)
	case *fsmpb.Command_PatchPreferences:
		return hasUnknown(k.PatchPreferences) || changesHaveUnknown(k.PatchPreferences.Changes) || authorityHasUnknown(k.PatchPreferences.Authority)
	case *fsmpb.Command_RotateSession:
		m := k.RotateSession
		return hasUnknown(m) || authorityHasUnknown(m.Authority) || m.Reauthentication != nil && (hasUnknown(m.Reauthentication) || rolesHaveUnknown(m.Reauthentication.Roles))
	case *fsmpb.Command_RevokeSession:
		return hasUnknown(k.RevokeSession) || authorityHasUnknown(k.RevokeSession.Authority)
	case *fsmpb.Command_RevokeSessions:
		return hasUnknown(k.RevokeSessions) || authorityHasUnknown(k.RevokeSessions.Authority)
	case *fsmpb.Command_RevokeUserSessions:
		return hasUnknown(k.RevokeUserSessions) || authorityHasUnknown(k.RevokeUserSessions.Authority)
	case *fsmpb.Command_PutUser:
		m := k.PutUser
		return hasUnknown(m) || authorityHasUnknown(m.Authority) ||
			m.Roles != nil && hasUnknown(m.Roles) || m.Policies != nil && hasUnknown(m.Policies)
	case *fsmpb.Command_UpgradePassword:
		return hasUnknown(k.UpgradePassword)
	case *fsmpb.Command_DeleteUser:
		return hasUnknown(k.DeleteUser) || authorityHasUnknown(k.DeleteUser.Authority)
	case *fsmpb.Command_PutPolicy:
		return hasUnknown(k.PutPolicy) || authorityHasUnknown(k.PutPolicy.Authority)
	case *fsmpb.Command_DeletePolicy:
		return hasUnknown(k.DeletePolicy) || authorityHasUnknown(k.DeletePolicy.Authority)
	case *fsmpb.Command_TakeAttempt:
		m := k.TakeAttempt
		return hasUnknown(m) || m.PerUser != nil && hasUnknown(m.PerUser) || m.PerAddress != nil && hasUnknown(m.PerAddress)
	case *fsmpb.Command_GiveBackAttempt:
		return hasUnknown(k.GiveBackAttempt) || k.GiveBackAttempt.Attempt != nil && hasUnknown(k.GiveBackAttempt.Attempt)
	case *fsmpb.Command_PutSealKey:
		return hasUnknown(k.PutSealKey)
	case *fsmpb.Command_HoldSealKeys:
		return hasUnknown(k.HoldSealKeys)
	case *fsmpb.Command_ReplaceSealed:
		for _, change := range k.ReplaceSealed.Changes {
			if hasUnknown(change) {
				return true
			}
		}
		return hasUnknown(k.ReplaceSealed)
	case *fsmpb.Command_PutLimits:
		return hasUnknown(k.PutLimits) || authorityHasUnknown(k.PutLimits.Authority)
	case *fsmpb.Command_SetFormatLevel:
		return hasUnknown(k.SetFormatLevel)
	case *fsmpb.Command_SetSessionHome:
		return hasUnknown(k.SetSessionHome)
	case *fsmpb.Command_NoOp:
		return hasUnknown(k.NoOp)
	case *fsmpb.Command_LoginFailed:
		return hasUnknown(k.LoginFailed)
	case *fsmpb.Command_PutChallengeSecret:
		return hasUnknown(k.PutChallengeSecret)
	case *fsmpb.Command_UseChallenge:
		return hasUnknown(k.UseChallenge)
	case *fsmpb.Command_BeginImport:
		return importHasUnknown(k.BeginImport)
	case *fsmpb.Command_ImportPast:
		return hasUnknown(k.ImportPast) || slices.ContainsFunc(k.ImportPast.Policies, movedPastHasUnknown)
	case *fsmpb.Command_ImportUsers:
		return hasUnknown(k.ImportUsers) || slices.ContainsFunc(k.ImportUsers.Users, movedUserHasUnknown)
	case *fsmpb.Command_ImportSessions:
		return hasUnknown(k.ImportSessions) || slices.ContainsFunc(k.ImportSessions.Sessions, movedSessionHasUnknown)
	case *fsmpb.Command_FinishImport:
		return hasUnknown(k.FinishImport)
	case *fsmpb.Command_CloseCluster:
		return hasUnknown(k.CloseCluster)
	case *fsmpb.Command_OpenCluster:
		return hasUnknown(k.OpenCluster)
	}
	return true
}

func movedPastHasUnknown(m *fsmpb.MovedPast) bool { return hasUnknown(m) || anyHasUnknown(m.Lifetimes) }

func importHasUnknown(m *fsmpb.BeginImport) bool {
	for _, p := range m.Policies {
		if hasUnknown(p) || p.Policy != nil && (hasUnknown(p.Policy) || authorityHasUnknown(p.Policy.Authority)) {
			return true
		}
	}
	return hasUnknown(m) || anyHasUnknown(m.SealKeys) || m.Limits != nil && hasUnknown(m.Limits)
}

func movedUserHasUnknown(m *fsmpb.MovedUser) bool {
	return hasUnknown(m) || anyHasUnknown(m.Preferences) || m.Account != nil && hasUnknown(m.Account)
}

func movedSessionHasUnknown(m *fsmpb.MovedSession) bool {
	return hasUnknown(m) || anyHasUnknown(m.Attributes) || anyHasUnknown(m.Retired)
}

func anyHasUnknown[M proto.Message](messages []M) bool {
	return slices.ContainsFunc(messages, func(m M) bool { return hasUnknown(m) })
}

func changesHaveUnknown(changes []*fsmpb.AttributeChange) bool {
	for _, c := range changes {
		if hasUnknown(c) {
			return true
		}
	}
	return false
}

func rolesHaveUnknown(l *fsmpb.RoleList) bool { return l != nil && hasUnknown(l) }

func authorityHasUnknown(a *fsmpb.Authority) bool {
	return a != nil && (hasUnknown(a) || a.Verified != nil && (hasUnknown(a.Verified) || rolesHaveUnknown(a.Verified.Roles)))
}
