// Package backend gives sessions other homes than a Raft cluster: a folder of this machine, Redis, DynamoDB. Service implements
// session.Service over a small Store, so that the same API and protocols stand before each of them, with the same
// names, limits and errors.
//
// # Who does what
//
//	store.go          the Store interface: what a home must be able to do. Its comments are the contract
//	memory            a Store in memory, the twin that shows what the contract means
//	local             a Store in a folder
//	redis, dynamodb   Stores over the network
//	backendtest       two suites: Store's contract (stores.go), and session.Service's behaviour (services.go)
//	everything else   Service: what sessions are, how records hold them, what order they are written in
//
// A new home implements Store in a folder of its own, passes both suites of backendtest in its tests, and is wired in
// cmd/internal/server. It never looks into values: what they mean is this package's alone.
//
// # How it stays right
//
// A Store changes one record at a time, by compare-and-set, and promises nothing about two. So each decision is one write of
// one record, and all other records are made ready before it or cleaned up after it; DESIGN.md has the list.
package backend
