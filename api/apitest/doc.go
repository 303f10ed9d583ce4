// Package apitest holds a small session.Service in memory, for tests of what speaks to one: the API, the client, the
// command line. It has the rules that those see and no others: no timers, no cluster, no durability.
package apitest
