// Package dev runs three real nodes in one process, to look at and to try things with: real Raft, gossip and HTTP on ports
// of 127.0.0.1, a data folder for each. It shows on them what Hydrastore is for, and every step with the curl line that
// does the same.
package dev
