// Package link is the peer port: one TCP port that carries Raft and the peers' calls.
//
// Every connection begins with a handshake in which both sides say who they are (node id, cluster id), what
// the connection is for (Purpose) and prove that they belong together: by mutual TLS 1.3, or by an HMAC of the gossip
// key over both nonces. After it the connection is either handed to Raft as a plain byte stream or
// carries framed, multiplexed calls.
//
// The package knows nothing of sessions, membership or Raft's state. DESIGN.md has the flow, the formats and
// the trade-offs.
package link
