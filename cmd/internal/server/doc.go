// Package server runs one node as its operator configured it: it puts node, API, operator socket and metrics together,
// starts them in the order in which each finds the one below, and stops them in the order that loses no request.
package server
