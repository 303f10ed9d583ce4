package cli

import (
	"strconv"
	"strings"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

// The shapes of -o json (…View) are in the words of the API, so that a script reads both alike. Those of sessions, users and policies are in files of their own.

type listView[T any] struct {
	Items      []T     `json:"items"`
	NextCursor *string `json:"next_cursor"`
	// SessionsNode names the node whose sessions alone it speaks of, or several that were asked one after the other; "" = all of the cluster's.
	SessionsNode string `json:"sessions_node,omitempty"`
}

type clusterView struct {
	ClusterID   string       `json:"cluster_id"`
	NodeID      string       `json:"node_id"`
	LeaderID    *string      `json:"leader_id"`
	Term        uint64       `json:"term"`
	CommitIndex uint64       `json:"commit_index"`
	Applied     uint64       `json:"applied_index"`
	FormatLevel uint32       `json:"format_level"`
	Time        time.Time    `json:"time"`
	Sessions    int          `json:"sessions"`
	SessionsOf  string       `json:"sessions_node,omitempty"`
	Healthy     bool         `json:"healthy"`
	Failures    int          `json:"failures_tolerated"`
	Phase       string       `json:"phase"`
	PhaseSince  *time.Time   `json:"phase_since"`
	Members     []memberView `json:"members"`
}

type memberView struct {
	ID            string   `json:"id"`
	Name          string   `json:"name"`
	PeerAddress   string   `json:"peer_address"`
	APIAddress    string   `json:"api_address"`
	GossipAddress string   `json:"gossip_address"`
	Role          string   `json:"role"`
	Healthy       bool     `json:"healthy"`
	State         string   `json:"state"`
	Applied       *uint64  `json:"applied_index"`
	Lag           *uint64  `json:"lag"`
	LastContact   *float64 `json:"last_contact_s"`
	Version       string   `json:"version"`
	FormatLevel   uint32   `json:"format_level"`
}

func viewOfCluster(s session.ClusterStatus) clusterView {
	v := clusterView{
		ClusterID: s.ClusterID, NodeID: s.NodeID, Term: s.Term, CommitIndex: s.CommitIndex, Applied: s.Applied, FormatLevel: s.FormatLevel,
		Time: s.Time.UTC(), Sessions: s.Sessions, SessionsOf: s.SessionsOf, Healthy: s.Healthy, Failures: s.Failures, Phase: string(s.Phase), Members: []memberView{},
	}
	if !s.PhaseSince.IsZero() {
		since := s.PhaseSince.UTC()
		v.PhaseSince = &since
	}
	if s.LeaderID != "" {
		v.LeaderID = &s.LeaderID
	}
	for _, m := range s.Members {
		v.Members = append(v.Members, viewOfMember(m))
	}
	return v
}

func viewOfMember(m session.Member) memberView {
	v := memberView{
		ID: m.ID, Name: m.Name, PeerAddress: m.PeerAddress, APIAddress: m.APIAddress, GossipAddress: m.GossipAddress, Role: m.Role,
		Healthy: m.Healthy, State: m.State, Version: m.Version, FormatLevel: m.FormatLevel,
	}
	if m.Applied > 0 {
		v.Applied, v.Lag = &m.Applied, &m.Lag
	}
	if m.LastContact >= 0 {
		seconds := m.LastContact.Seconds()
		v.LastContact = &seconds
	}
	return v
}

// Tables for people.

func clusterTable(s session.ClusterStatus) *table {
	t := &table{head: []string{"name", "id", "role", "health", "gossip", "lag", "last contact", "peer", "api", "version"}}
	for _, m := range s.Members {
		health, lag, contact := "healthy", "", ""
		if !m.Healthy {
			health = "FAILING"
		}
		if m.Applied > 0 {
			lag = strconv.FormatUint(m.Lag, 10)
		}
		if m.LastContact >= 0 {
			contact = m.LastContact.Round(time.Millisecond).String()
		}
		t.add(m.Name, m.ID, m.Role, health, m.State, lag, contact, m.PeerAddress, m.APIAddress, m.Version)
	}
	t.foot = clusterSummary(s)
	if moving := movingSummary(s); moving != "" {
		t.foot += "\n" + moving
	}
	return t
}

// movingSummary says why a cluster serves nobody, since when, and how it comes to serve again; "" = it serves. It may be all that an operator finds of a move
// whose command was killed.
func movingSummary(s session.ClusterStatus) string {
	since := " since " + instant(s.PhaseSince)
	switch s.Phase {
	case session.MoveClosed:
		return "CLOSED" + since + ": the cluster serves nobody, because its sessions are being moved to another home, or were.\n" +
			"If the move is to go on, repeat hydrastore migrate. If no other home is to serve them: hydrastore cluster open --socket PATH, on one of its machines"
	case session.MoveFilling:
		return "FILLED" + since + ": the cluster serves nobody until all of another home's sessions are there.\n" +
			"If the move does not go on, repeat hydrastore migrate, which begins it anew. If it is given up, begin with empty data folders"
	}
	return ""
}

func clusterSummary(s session.ClusterStatus) string {
	leader := "no leader"
	for _, m := range s.Members {
		if m.ID == s.LeaderID && s.LeaderID != "" {
			leader = "leader " + m.Name
		}
	}
	survives := "no server may be lost"
	switch {
	case s.Failures == 1:
		survives = "1 server may be lost"
	case s.Failures > 1:
		survives = strconv.Itoa(s.Failures) + " servers may be lost"
	}
	return strings.Join([]string{
		leader, "term " + strconv.FormatUint(s.Term, 10), "index " + strconv.FormatUint(s.CommitIndex, 10),
		sessionCount(s), survives,
	}, ", ")
}

// sessionCount says whose sessions are counted when they are not all of the cluster's.
func sessionCount(s session.ClusterStatus) string {
	text := plural(s.Sessions, "session")
	if s.SessionsOf == "" {
		return text
	}
	for _, m := range s.Members {
		if m.ID == s.SessionsOf {
			return text + " of " + m.Name + " alone"
		}
	}
	return text + " of the asked node alone"
}
