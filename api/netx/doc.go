// Package netx speaks NetX's JSON-RPC for session keys: authenticate, setUserPreference (with which clients "tickle" a session), and a few
// methods more, of which those that NetX does not document are named so in docs/protocols/netx.md.
//
// It is JSON-RPC 2.0 with NetX's exceptions: positional parameters only, no batches. It knows the sessions of the policy "netx" and no others.
package netx
