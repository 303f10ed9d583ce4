// Package ownsessions puts a node of the cluster and a folder of sessions together, for user.sessionPersistence: false: users, policies and the
// throttle are the cluster's, sessions are this node's alone. docs/adr/0041-sessions-of-one-node.md says how the two hold together.
package ownsessions
