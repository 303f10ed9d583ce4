// Package hydrastore is the root of Hydrastore, a clustered store for log-in sessions. It holds no code: the program is
// cmd/hydrastore, the Go client is the package client, and README.md tells the rest.
package hydrastore
