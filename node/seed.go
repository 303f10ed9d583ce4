package node

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// firstAdmin is the name of the user that AdminPassword creates.
const firstAdmin = "admin"

// seed writes, at a new leader, what the cluster should have and does not: first policies, the first admin, and the
// format level that all members support. Each is a create that fails when it is there. It does so again after sessions were moved into the
// cluster, which begins a new history.
func (n *Node) seed(ctx context.Context) {
	serves := true
	for seeded := uint64(0); ctx.Err() == nil; {
		if now := n.serves() == nil; now != serves {
			serves = now
			n.log.Warn("sessions are moved between this cluster and another home", slog.Bool("serves", serves), slog.String("phase", n.fsm.Phase().String()))
		}
		if history := n.fsm.History(); history != seeded && n.serves() == nil {
			err := n.seedOnce(ctx)
			if err == nil && n.fsm.FormatLevel() >= fsm.SupportedFormatLevel {
				seeded = history
			}
			if err != nil && ctx.Err() == nil {
				n.log.Warn("first values are not written yet; trying again", slog.Any("error", err))
			}
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

// seedOnce writes the policy "default" last: Ready takes it for the sign that all is there, so that nobody who waited for
// that finds no admin.
func (n *Node) seedOnce(ctx context.Context) error {
	if err := n.seedAdmin(ctx); err != nil {
		return err
	}
	if err := n.raiseFormat(ctx); err != nil {
		return err
	}
	for _, p := range defaultLast(n.config.Policies) {
		if _, known := n.fsm.Policy(p.Name); known {
			continue
		}
		put := putPolicy(p, fsmpb.PutPolicy_MODE_CREATE)
		put.Authority = &fsmpb.Authority{System: true}
		if err := n.seedWith(ctx, &fsmpb.Command{Kind: &fsmpb.Command_PutPolicy{PutPolicy: put}}); err != nil {
			return err
		}
	}
	return nil
}

func defaultLast(policies []session.Policy) []session.Policy {
	return slices.SortedStableFunc(slices.Values(policies), func(a, b session.Policy) int {
		return rank(a) - rank(b)
	})
}

func rank(p session.Policy) int {
	if p.Name == session.DefaultPolicyName {
		return 1
	}
	return 0
}

func (n *Node) seedAdmin(ctx context.Context) error {
	if n.config.AdminPassword == "" || n.fsm.HasAdmin() {
		return nil
	}
	hash, err := n.hasher.Hash(ctx, n.config.AdminPassword)
	if err != nil {
		return err
	}
	return n.seedWith(ctx, &fsmpb.Command{Kind: &fsmpb.Command_PutUser{PutUser: &fsmpb.PutUser{
		Name: firstAdmin, Mode: fsmpb.PutUser_MODE_BOOTSTRAP_ADMIN, PasswordHash: &hash, Authority: &fsmpb.Authority{System: true},
	}}})
}

// raiseFormat raises the format level to what all members have announced, so that an old node never meets an entry that it
// cannot apply.
func (n *Node) raiseFormat(ctx context.Context) error {
	level := uint32(fsm.SupportedFormatLevel)
	for _, m := range n.cluster.Members() {
		if m.FormatLevel == 0 {
			return nil // not announced yet; seed asks again
		}
		level = min(level, m.FormatLevel)
	}
	if level <= n.fsm.FormatLevel() {
		return nil
	}
	return n.seedWith(ctx, &fsmpb.Command{Kind: &fsmpb.Command_SetFormatLevel{SetFormatLevel: &fsmpb.SetFormatLevel{Level: level}}})
}

func (n *Node) seedWith(ctx context.Context, c *fsmpb.Command) error {
	ctx, cancel := n.limit(ctx)
	defer cancel()
	result, _, err := n.outbox.submit(ctx, c)
	if err != nil {
		return err
	}
	if err := resultError(result, "write first values"); session.CodeOf(err) != session.CodeExists {
		return err
	}
	return nil
}
