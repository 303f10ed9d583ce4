package config

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/session"
)

// The homes that sessions can have.
const (
	HomeRaft     = "raft"
	HomeLocal    = "local"
	HomeRedis    = "redis"
	HomeDynamoDB = "dynamodb"
)

// outsideRaft completes what homes other than the cluster need, and refuses what only a cluster does: ignoring it silently would promise
// what nobody gets.
func (l *loader) outsideRaft() {
	c := &l.config
	if _, given := l.sources["tokenizer.path"]; given && c.Home != HomeLocal {
		l.problem("tokenizer.path", "has no effect while tokenizer.type is %s", c.Home)
	}
	if c.Home == HomeRaft {
		l.ownSessions()
		return
	}
	if c.Home == HomeLocal && c.Local.Path == "" {
		c.Local.Path = filepath.Join(c.Node.DataDir, "sessions")
	}
	for _, s := range Settings() {
		if _, given := l.sources[s.Key]; given && ofClustersOnly(s.Key) {
			l.refuseOfClusters(s.Key)
		}
	}
	for _, p := range c.Policies {
		var e *session.Error
		if errors.As(backend.Supports(c.Home, p), &e) {
			l.problem("tokenizer.type", "%s: %s", e.Field, e.Message)
		}
	}
}

// ownSessions refuses policies that nodes cannot keep which keep their own sessions.
func (l *loader) ownSessions() {
	if !l.config.OwnSessions {
		return
	}
	for _, p := range l.config.Policies {
		var e *session.Error
		if errors.As(backend.SupportsAtNode(p), &e) {
			l.problem(keyPersistence, "%s: %s", e.Field, e.Message)
		}
	}
}

func ofClustersOnly(key string) bool {
	section, _, _ := strings.Cut(key, ".")
	return slices.Contains([]string{"peer", "gossip", "audit"}, section) ||
		section == "cluster" && key != "cluster.name" || key == "node.log_store" || key == "limits.max_stale"
}

func (l *loader) refuseOfClusters(key string) {
	section, _, _ := strings.Cut(key, ".")
	switch {
	case l.config.Home == HomeLocal && section == "cluster":
		l.problem(key, "tokenizer.type local is for one server: its folder is no other's. Remove this, or let the nodes share sessions with tokenizer.type raft, redis or dynamodb")
	case section == "audit":
		l.problem(key, "the audit trail is written from the cluster's log: there is none while tokenizer.type is %s. Remove this, or use tokenizer.type raft", l.config.Home)
	default:
		l.problem(key, "has no effect while tokenizer.type is %s: there are no peers. Remove it", l.config.Home)
	}
}
