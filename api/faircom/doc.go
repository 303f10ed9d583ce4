// Package faircom speaks the session actions of FairCom's JSON Admin API, so that programs written for it find them here: createSession,
// alterSession, deleteSession, describeSessions, listSessions and pingSession.
//
// It knows the sessions of the policy "faircom" and no others. A session's own settings (description, defaultApi …) are reserved
// attributes; they are kept and shown, and mean nothing to Hydrastore. docs/protocols/faircom.md tells users what is the same and what is not.
package faircom
