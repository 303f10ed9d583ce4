package session

import (
	"errors"
	"fmt"
	"time"
)

// Refusals that every home of sessions words alike.

// ErrNeedsRole refuses a caller without a role.
func ErrNeedsRole(needed Role) *Error {
	return Errorf(CodeForbidden, "this needs a session with role %s", needed)
}

// ErrSubject says that the presented key opens nothing, as distinct from the caller's own.
func ErrSubject() *Error {
	e := ErrUnauthenticated()
	e.Field = "Hydrastore-Session"
	return e
}

// ErrVouchForPowerful refuses a service that vouches for a user with more than role user.
func ErrVouchForPowerful() *Error {
	return &Error{Code: CodeForbidden, Field: "user", Message: "a service cannot vouch for users with role service or admin: they need their password"}
}

// ErrMayNotPresent refuses a user that presents another key beside its own.
func ErrMayNotPresent() *Error {
	return Invalid("Hydrastore-Session", "only a session with role service or admin may present another key")
}

// ErrMayNotNameClient refuses a user that says on whose behalf it logs in.
func ErrMayNotNameClient() *Error {
	return Invalid("client_ip", "only a session with role service or admin may name client_ip and user_agent")
}

// ErrNoSuchUser says that there is no account of a name.
func ErrNoSuchUser() *Error {
	return &Error{Code: CodeNotFound, Field: "user", Message: "there is no user of this name"}
}

// ErrNoSuchPolicy says that there is no policy of a name.
func ErrNoSuchPolicy() *Error {
	return &Error{Code: CodeNotFound, Field: "policy", Message: "there is no policy of this name"}
}

// ErrNoSuchSession says that there is no living session of an id, for this caller.
func ErrNoSuchSession() *Error {
	return Errorf(CodeNotFound, "there is no such session, or not any more")
}

// ErrLastAdmin refuses a change after which nobody could make any.
func ErrLastAdmin() *Error {
	return &Error{Code: CodeConflict, Field: "user", Message: "this is the last enabled admin; make another one first"}
}

// ErrVersion says that If-Match does not hold.
func ErrVersion(field string) *Error {
	return &Error{Code: CodeVersionMismatch, Field: field, Message: "If-Match names another version than the present one; read it again"}
}

// ErrUserChanged says that the user is not what was judged.
func ErrUserChanged() *Error {
	return &Error{Code: CodeConflict, Field: "user", Message: "the user was changed meanwhile; ask again"}
}

// ErrLoginUserChanged is ErrUserChanged for a log-in.
func ErrLoginUserChanged() *Error {
	return &Error{Code: CodeConflict, Field: "user", Message: "the user was changed or disabled meanwhile; log in again"}
}

// ErrLoginPolicyUnknown refuses a log-in under a policy that there is not.
func ErrLoginPolicyUnknown() *Error {
	return Invalid("policy", "there is no policy of this name")
}

// ErrLoginPolicyForbidden refuses a log-in under a policy that is not the user's.
func ErrLoginPolicyForbidden() *Error {
	return &Error{Code: CodeForbidden, Field: "policy", Message: "the user may not log in under this policy"}
}

// ErrPermanentForbidden refuses a permanent session.
func ErrPermanentForbidden() *Error {
	return &Error{Code: CodeForbidden, Field: "permanent", Message: "the policy does not allow permanent sessions; an admin can change that with permanent_allowed"}
}

// ErrIdleForbidden refuses a longer idle timeout than the policy's.
func ErrIdleForbidden() *Error {
	return &Error{Code: CodeForbidden, Field: "idle_timeout_s", Message: "only services and admins may ask for a longer idle timeout than the policy's; an admin can change that with longer_idle_allowed"}
}

// ErrAddressNeeded refuses a session without address under a policy that binds to it.
func ErrAddressNeeded() *Error {
	return Invalid("client_ip", "is needed: the policy binds sessions to the address of their client")
}

// ErrRequestMismatch refuses an Idempotency-Key that came with another request.
func ErrRequestMismatch() *Error {
	return &Error{Code: CodeIdempotencyMismatch, Field: "Idempotency-Key", Message: "this Idempotency-Key was used for another request"}
}

// ErrRequestElsewhere refuses the repetition of a request whose session is bound to another address.
func ErrRequestElsewhere() *Error {
	return &Error{Code: CodeIdempotencyMismatch, Field: "Idempotency-Key", Message: "the session that this Idempotency-Key has made is bound to another address; log in with a new one"}
}

// ErrSessionLimit says which limit refuses a log-in, and what helps.
func ErrSessionLimit(field string) *Error {
	const again = "; end one of them, or wait until one ends"
	text := "as many sessions live as the cluster allows; an admin can raise the limit with hydrastore limits set"
	switch field {
	case "max_sessions_per_user":
		text = "the user has as many sessions as its policy allows" + again
	case "max_sessions_per_address":
		text = "as many sessions live from this address as the policy allows" + again
	case "max_sessions":
		text = "as many sessions live under this policy as it allows" + again
	}
	return &Error{Code: CodeSessionLimit, Field: field, Message: text}
}

// ErrKeyRotated refuses to re-authenticate with a key that has a successor.
func ErrKeyRotated() *Error {
	return Errorf(CodeConflict, "this key was rotated already: ask for its successor with POST /v1/session/rotate, and re-authenticate with that")
}

// ErrRotatedTooOften refuses a rotation while as many earlier keys work as are remembered.
func ErrRotatedTooOften() *Error {
	return &Error{Code: CodeConflict, RetryAfter: time.Second,
		Message: fmt.Sprintf("the session was rotated %d times within its policy's rotate_grace_s, and all those keys work still; wait until one of them ends", MaxRetiredKeys)}
}

// ErrReauthenticate says that the user proved who it is too long ago.
func ErrReauthenticate() *Error {
	return &Error{Code: CodeReauthenticate, Field: "max_auth_age",
		Message: "the user has to prove anew who it is: POST /v1/session/reauthenticate"}
}

// ErrVouchNotByBearer refuses a bearer that leaves out its password.
func ErrVouchNotByBearer() *Error {
	return Invalid("password", "is needed; only a service that presents its user's key may leave it out")
}

// ErrAttributesForbidden refuses a bearer that may not write attributes.
func ErrAttributesForbidden() *Error {
	return &Error{Code: CodeForbidden, Field: "attributes", Message: "not permitted to change the attributes of this session: its policy leaves that to services"}
}

// ErrAttributesFull says that a session's attributes would exceed their limit.
func ErrAttributesFull() *Error {
	return TooLarge("attributes", "a session has at most %d attributes with %d bytes in all; delete some first", MaxAttributes, MaxAttributesBytes)
}

// ErrSealedTooLarge refuses a value that is too long to be sealed.
func ErrSealedTooLarge(bytes int) *Error {
	return TooLarge("sealed_attributes", "a sealed value has at most %d bytes, this has %d", MaxSealedAttributeBytes, bytes)
}

// ErrPartlyRevoked says that a revocation of many ended some before it failed with err.
func ErrPartlyRevoked(err error, ended int) error {
	var e *Error
	if !errors.As(err, &e) || ended == 0 {
		return err
	}
	told := *e
	told.Code = CodeOutcomeUnknown
	told.Message = "some of the sessions were ended, then: " + e.Message + "; ask again to end the rest"
	return &told
}

// ErrListOfOthers refuses a list of other users' sessions.
func ErrListOfOthers() *Error {
	return &Error{Code: CodeForbidden, Field: "user", Message: "only admins see the sessions of others; filter by your own user name"}
}

// ErrNotCurrent refuses to leave out a session that is none of the user's.
func ErrNotCurrent() *Error {
	return Invalid("except", "the current session is not one of this user's")
}

// ErrCursor refuses what is no cursor.
func ErrCursor() *Error { return Invalid("cursor", "must be the next_cursor of an earlier page") }
