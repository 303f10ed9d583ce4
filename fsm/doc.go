// Package fsm is the replicated state of Hydrastore: sessions, users and policies, and the commands that change them.
//
// It knows no network, clock, random source or disk. The same log gives the same state, byte for byte in its
// snapshot, on every node and in every run. DESIGN.md tells how it is built and why.
//
// All instants are milliseconds since the Unix epoch, all durations milliseconds. Instants come from the log alone.
package fsm
