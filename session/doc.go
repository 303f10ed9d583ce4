// Package session is the domain of Hydrastore: sessions, their keys and policies, users, limits, coded
// errors, and the Service interface through which every protocol reaches them.
//
// It uses the standard library only and knows nothing of Raft, HTTP or disks, so that each of those can
// depend on it and none on another.
package session
