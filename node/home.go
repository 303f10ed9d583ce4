package node

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

const (
	// homeWatch is how often a node looks whether sessions live where its configuration says.
	homeWatch = 250 * time.Millisecond
	// homeLooks is how many looks in a row must find that a living member goes by what the cluster does and this node does not: members that
	// restart together announce themselves one after the other.
	homeLooks = 12
)

// homeTerms is what all nodes must say alike of where sessions live, as operators write it.
func homeTerms(atNode bool) string { return fmt.Sprintf("user.sessionPersistence: %t", !atNode) }

// errOtherHome is why a node waits while the cluster keeps sessions elsewhere than its configuration says.
func (n *Node) errOtherHome() *session.Error {
	return errStarting("its " + homeTerms(n.config.SessionsAtNode) + " is not the cluster's yet, which all nodes must say alike")
}

// atHome tells whether sessions live where this node's configuration says.
func (n *Node) atHome() bool { return n.fsm.Home().Node == n.config.SessionsAtNode }

// seedHome changes, at the leader, where sessions live, once all members say the same. Those that live in the cluster end first: they are another
// home's.
func (n *Node) seedHome(ctx context.Context) error {
	if _, leading := n.cluster.Leading(); !leading || n.atHome() || !n.allSayTheSame() {
		return nil
	}
	home := fsmpb.SessionHome_SESSION_HOME_CLUSTER
	if n.config.SessionsAtNode {
		if err := n.keepsOwn(); err != nil {
			return err
		}
		home = fsmpb.SessionHome_SESSION_HOME_NODE
		for _, filter := range []session.Filter{{}, {Permanent: true}} {
			if _, err := n.RevokeSessions(ctx, session.Call{Operator: true}, filter); err != nil {
				return err
			}
		}
	}
	return n.seedWith(ctx, &fsmpb.Command{Kind: &fsmpb.Command_SetSessionHome{SetSessionHome: &fsmpb.SetSessionHome{Home: home}}})
}

// keepsOwn tells why sessions cannot live at nodes as the cluster's policies and limits are: then nothing is ended for it.
func (n *Node) keepsOwn() error {
	may := n.mayKeepOwn.Load()
	if may == nil {
		return nil
	}
	var policies []session.Policy
	for _, p := range n.fsm.PoliciesWithPast() {
		policies = append(policies, p.Policy)
	}
	if err := (*may)(policies, n.fsm.Limits()); err != nil {
		return fmt.Errorf("%w. No session was ended: change that over this node's own socket, or go back to %s in all nodes' files", err, homeTerms(false))
	}
	return nil
}

func (n *Node) allSayTheSame() bool {
	for _, m := range n.cluster.Members() {
		if m.Terms != homeTerms(n.config.SessionsAtNode) {
			return false
		}
	}
	return true
}

// watchHome changes where sessions live when all say so, and stops a node whose configuration says otherwise than the cluster goes by, while a member lives that goes by the same as the cluster.
// Where no such member lives all are on their way to another setting, and this one waits for the rest.
func (n *Node) watchHome(ctx context.Context) {
	ticker := time.NewTicker(homeWatch)
	defer ticker.Stop()
	told := ""
	for looks := 0; ; {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		if err := n.seedHome(ctx); err != nil && ctx.Err() == nil && err.Error() != told {
			told = err.Error()
			n.log.Warn("where sessions live is not changed yet; trying again", slog.Any("error", err))
		}
		names := n.othersAtHome()
		if looks++; len(names) == 0 {
			looks = 0
		}
		if looks == homeLooks {
			n.config.Fatal(fmt.Errorf("%s in this node's configuration is not what the cluster goes by (%s, as %s): all nodes must say the same; give this node the others' value. To change it, stop all nodes, change it in all their files and start them again",
				homeTerms(n.config.SessionsAtNode), homeTerms(!n.config.SessionsAtNode), strings.Join(names, ", ")))
			return
		}
	}
}

// othersAtHome names the living members that go by what the cluster does, when this node does not.
func (n *Node) othersAtHome() (names []string) {
	if age, known := n.freshness.age(); !known || age > n.config.RequestTimeout || n.atHome() {
		return nil
	}
	for _, m := range n.cluster.Members() {
		if !m.Self && m.Alive && m.Terms == homeTerms(!n.config.SessionsAtNode) {
			names = append(names, m.Name)
		}
	}
	return names
}

// epoch names the time at nodes that the present one is: sessions of an earlier one, of another history or of another cluster are none.
func (n *Node) epoch(h fsm.Home) string { return fmt.Sprintf("%s.%d", n.history(), h.Version) }
