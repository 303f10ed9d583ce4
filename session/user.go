package session

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Role says what a user's sessions may do.
type Role string

const (
	RoleUser    Role = "user"    // own sessions
	RoleService Role = "service" // create and check sessions for users
	RoleAdmin   Role = "admin"   // everything
)

// Method is a way in which a session's user proved who it is.
type Method string

const (
	MethodDirectory Method = "directory" // a password that a directory verified
	MethodPassword  Method = "password"
	MethodService   Method = "service" // a service vouched for the user
)

// Roles lists the known roles.
func Roles() []Role { return []Role{RoleUser, RoleService, RoleAdmin} }

// User is the public part of a user's record: it never holds the password or its hash.
type User struct {
	Name        string // folded: see FoldUserName
	Roles       []Role // sorted, without repeats, never empty
	Policies    []string
	Disabled    bool
	HasPassword bool
	MD5Login    bool      // log-ins by the MD5 of its password are taken: see UserChange
	Sessions    int       // live sessions, at the moment of the read
	CreatedAt   time.Time // UTC
	Version     uint64    // log index of the last change
}

// Has tells whether the user has role r.
func (u User) Has(r Role) bool { return slices.Contains(u.Roles, r) }

// FoldUserName trims, validates and folds a log-in name; two spellings that fold to the same text are one user.
// It runs before the log, with the table of this release (fold_table.go), so that nodes on different
// versions of Go agree.
func FoldUserName(name string) (string, error) {
	name = strings.TrimSpace(name)
	switch {
	case name == "":
		return "", Invalid("user", "a user name is needed")
	case !utf8.ValidString(name):
		return "", Invalid("user", "a user name must be valid UTF-8")
	}
	var folded strings.Builder
	folded.Grow(len(name))
	for _, r := range name {
		if r == utf8.RuneError {
			return "", Invalid("user", "a user name must not hold U+FFFD, which stands for text that was not valid UTF-8")
		}
		if unicode.IsControl(r) {
			return "", Invalid("user", "a user name must not hold control characters")
		}
		folded.WriteRune(foldRune(r))
	}
	if folded.Len() > MaxUserNameBytes {
		return "", TooLarge("user", "a user name has at most %d bytes, this has %d", MaxUserNameBytes, folded.Len())
	}
	return folded.String(), nil
}

func foldRune(r rune) rune {
	if r < utf8.RuneSelf {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}
	i, found := slices.BinarySearchFunc(foldTable, r, func(e [2]rune, r rune) int { return int(e[0]) - int(r) })
	if found {
		return foldTable[i][1]
	}
	return r
}

// NormalRoles validates, sorts and dedupes roles; none means RoleUser.
func NormalRoles(roles []Role) ([]Role, error) {
	if len(roles) == 0 {
		return []Role{RoleUser}, nil
	}
	for _, r := range roles {
		if !slices.Contains(Roles(), r) {
			return nil, Invalid("roles", "%q is no role: use user, service or admin", cut(string(r)))
		}
	}
	sorted := slices.Clone(roles)
	slices.Sort(sorted)
	return slices.Compact(sorted), nil
}

// ValidatePassword tells what is wrong with a new password. The password itself is never part of the error.
func ValidatePassword(password string) error {
	switch {
	case len(password) > MaxPasswordBytes:
		return TooLarge("password", "a password has at most %d bytes", MaxPasswordBytes)
	case !utf8.ValidString(password):
		return Invalid("password", "a password must be valid UTF-8")
	case utf8.RuneCountInString(password) < MinPasswordRunes:
		return Invalid("password", "a password has at least %d characters", MinPasswordRunes)
	}
	return nil
}

// ValidateSafePassword tells what is wrong with a password from which seal keys are derived. The password itself is never part
// of the error.
func ValidateSafePassword(password string) error {
	switch {
	case password == "" || password == "default_password":
		return Invalid("tokenizer.safe_password", "the empty one and the one of the example are refused: draw one, for example with: head -c 24 /dev/urandom | base64")
	case len(password) < MinSafePasswordBytes:
		return Invalid("tokenizer.safe_password", "has at least %d bytes, this has %d", MinSafePasswordBytes, len(password))
	case len(password) > MaxPasswordBytes:
		return TooLarge("tokenizer.safe_password", "has at most %d bytes", MaxPasswordBytes)
	}
	return nil
}

// cut shortens foreign text for an error message.
func cut(s string) string {
	const most = 40
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
