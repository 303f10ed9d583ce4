package backend

import (
	"encoding/json"
	"maps"

	"github.com/hydrastore/hydrastore/session"
)

// sealsCredentials tells whether a session keeps its credentials sealed.
func (s *Service) sealsCredentials(r *sessionRecord) bool {
	return !s.config.Sealing.PlainCredentials && session.SealsCredentials(r.Policy, r.Methods)
}

// splitCredentials takes out of a patch the credentials that the session keeps sealed.
func (s *Service) splitCredentials(r *sessionRecord, patch session.AttributePatch) (open, secret session.AttributePatch, err error) {
	value, some := patch[session.CredentialsAttribute]
	if !some || session.IsDeletion(value) || !s.sealsCredentials(r) {
		return patch, nil, nil
	}
	open, secret = maps.Clone(patch), session.AttributePatch{session.CredentialsAttribute: value}
	delete(open, session.CredentialsAttribute)
	return open, secret, s.seals.takesCredentials(value)
}

// takesCredentials judges credentials that are to be sealed.
func (k *seals) takesCredentials(value json.RawMessage) error {
	if _, _, err := k.presentKey(); err != nil {
		return session.ErrCredentialsUnsealed()
	}
	return session.CheckCredentials(value)
}
