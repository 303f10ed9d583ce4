package server

import (
	"context"
	"strings"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

// comparePause is how often a node that is not ready yet is asked again.
const comparePause = 250 * time.Millisecond

// comparePolicies warns when the cluster's policies are not what this node's configuration says: the file gave the first values only, or
// another node's file did. It waits until the cluster can be asked, at most until ctx ends.
func (s *Server) comparePolicies(ctx context.Context, given []session.Policy) {
	if len(given) == 0 {
		return
	}
	ticker := time.NewTicker(comparePause)
	defer ticker.Stop()
	for {
		if s.node.Ready(false) == nil {
			if list, err := s.node.ListPolicies(ctx, session.Call{Operator: true}); err == nil {
				s.warnOfPolicies(given, list.Items)
				return
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s *Server) warnOfPolicies(given, replicated []session.Policy) {
	now := map[string]session.Policy{}
	for _, p := range replicated {
		now[p.Name] = p
	}
	var differ []string
	for _, p := range given {
		if !p.SameRules(now[p.Name]) {
			differ = append(differ, p.Name)
		}
	}
	if len(differ) == 0 {
		s.log.Debug("the cluster's policies are those of the configuration")
	} else {
		s.log.Warn("the configuration has other values for policies than the cluster, whose values hold; "+
			"hydrastore policy apply --from-config FILE shows the differences and applies the file's values (--dry-run: only shows)",
			"policies", strings.Join(differ, ", "))
	}
}
