package session

import "slices"

// CredentialsAttribute names the attribute in which QueryCommander keeps what its user logs in to databases with.
const CredentialsAttribute = "credentials"

// SealsCredentials tells whether a session under a policy, whose user proved itself by methods, keeps its CredentialsAttribute sealed whoever writes
// it: under PresetTokenizer, with a password that is kept here. A directory's users and those of a service have none here that could be in it.
func SealsCredentials(policy string, methods []Method) bool {
	return policy == PresetTokenizer && slices.Contains(methods, MethodPassword)
}

// CheckCredentials judges the value of a CredentialsAttribute that is to be sealed.
func CheckCredentials(value []byte) error {
	if len(value) > MaxSealedAttributeBytes {
		return TooLarge("attributes", "%q is kept sealed under the policy %q, and a sealed value has at most %d bytes, this has %d",
			CredentialsAttribute, PresetTokenizer, MaxSealedAttributeBytes, len(value))
	}
	return nil
}

// ErrCredentialsUnsealed refuses a CredentialsAttribute where nothing can be sealed.
func ErrCredentialsUnsealed() *Error {
	return &Error{Code: CodeConflict, Field: "attributes",
		Message: `"credentials" is kept sealed under the policy "tokenizer", and there is no seal key: set tokenizer.safe_password, to the same on all nodes; or, to keep it in the clear, tokenizer.seal_credentials: false`}
}

// ErrCredentialsLocal refuses a CredentialsAttribute where attributes are in the memory of nodes.
func ErrCredentialsLocal() *Error {
	return Invalid("attributes", `"credentials" is kept sealed under the policy "tokenizer", and attributes: local keeps nothing sealed: let the policy write shared, or set tokenizer.seal_credentials: false`)
}
