package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/hydrastore/hydrastore/session"
)

func (p *Program) limitsCommand() *cobra.Command {
	c := group(&cobra.Command{Use: "limits", Short: "Look at and change what caps the whole cluster"})
	c.AddCommand(p.limitsGetCommand(), p.limitsSetCommand())
	return c
}

func (p *Program) limitsGetCommand() *cobra.Command {
	c := &cobra.Command{Use: "get", Short: "Show the limits", Args: cobra.NoArgs}
	return p.remoteCommand(c, func(ctx context.Context, r *remote, _ []string) error {
		result, err := r.GetLimits(ctx)
		if err != nil {
			return err
		}
		return r.printLimits(result.ClusterLimits, "")
	})
}

func (p *Program) limitsSetCommand() *cobra.Command {
	var most, onLimit string
	c := &cobra.Command{
		Use: "set", Short: "Change the limits", Args: cobra.NoArgs,
		Long: `Changes the named limits on all nodes at once; the others stay. A lowered limit ends no session: it is judged at each log-in.
Limits for one user, one address or one policy are set with hydrastore policy set.`,
	}
	c.Flags().StringVar(&most, "max-sessions", "", "sessions in the cluster, under whatever policy: a number, or none")
	c.Flags().StringVar(&onLimit, "on-limit", "", "what a log-in does that would exceed it: refuse, evict_oldest or evict_idle")
	return p.remoteCommand(c, func(ctx context.Context, r *remote, _ []string) error {
		var change session.ClusterLimitsChange
		if err := setLimit(&change.MaxSessions, "--max-sessions", most); err != nil {
			return err
		}
		if onLimit != "" {
			change.OnLimit = (*session.OnLimit)(&onLimit)
		}
		result, err := r.PatchLimits(ctx, change)
		if err != nil {
			return err
		}
		return r.printLimits(result.ClusterLimits, "changed")
	})
}

func (r *remote) printLimits(l session.ClusterLimits, foot string) error {
	view := limitsView{MaxSessions: l.MaxSessions, OnLimit: l.OnLimit, Version: l.Version}
	return r.print(view, func() *table {
		t := limitsTable(l)
		t.foot = foot
		return t
	})
}
