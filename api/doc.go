// Package api serves Hydrastore over HTTP with Echo: the REST API of openapi.yaml, health, and metrics.
//
// It speaks to a session.Service and knows nothing of Raft. It turns a request into a session.Call, an answer into
// JSON, and an error into a problem document; it decides nothing about sessions itself. DESIGN.md tells how a request
// passes through and why.
package api
