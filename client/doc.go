// Package client is the Go client of Hydrastore's REST API.
//
// A Client knows a list of nodes, asks one of them and goes on to the next when it fails. What may be repeated without
// harm is repeated, within the context and with growing pauses; what may not, never is. Every error is a *session.Error
// with the service's own code, so that errors.Is and session.CodeOf work as they do inside the server.
//
// It repeats after a certain failure (no connection, a 503 that a node wrote) always, and after an unknown outcome (a connection lost
// midway, 504 outcome_unknown) only reads, deletions, touches, replacements without IfMatch, and log-ins, which carry an
// Idempotency-Key for that. Everything else ends as session.CodeOutcomeUnknown: look before you ask again.
package client
