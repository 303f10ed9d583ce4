package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hydrastore/hydrastore/session"
)

func (p *Program) clusterCommand() *cobra.Command {
	c := group(&cobra.Command{Use: "cluster", Short: "Look at and change the cluster's servers"})
	c.AddCommand(p.clusterMembersCommand(), p.clusterAddCommand(), p.clusterRemoveCommand(), p.clusterTransferCommand(), p.clusterResealCommand(), p.clusterOpenCommand())
	return c
}

func (p *Program) clusterMembersCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "members", Aliases: []string{"status"}, Short: "Show the servers, who leads, how far each is behind, and why a cluster serves nobody", Args: cobra.NoArgs,
		Long: `Shows the cluster as the asked node sees it. Over --socket that works without a majority, and while sessions are moved, too.`,
	}
	return p.remoteCommand(c, func(ctx context.Context, r *remote, _ []string) error {
		status, err := r.ClusterStatus(ctx)
		if err != nil {
			return err
		}
		return r.print(viewOfCluster(status), func() *table { return clusterTable(status) })
	})
}

func (p *Program) clusterAddCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "add HOST:PORT", Short: "Invite the node that waits at this peer address", Args: cobra.ExactArgs(1),
		Long: `Invites a node that was started with an empty data folder and cluster.bootstrap_expect: 0. It joins without a vote and gets one when
it keeps up. A node whose cluster.join names a member joins by itself.`,
	}
	return p.remoteCommand(c, func(ctx context.Context, r *remote, args []string) error {
		if _, err := r.AddMember(ctx, args[0]); err != nil {
			return err
		}
		return r.say(done{true}, "%s is invited; `hydrastore cluster members` shows when it has its vote", args[0])
	})
}

func (p *Program) clusterRemoveCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "remove ID|NAME", Short: "Remove a server for good", Args: cobra.ExactArgs(1),
		Long: `Removes a server for good. Stop it first. Its data folder can not come back: started again, it is a stranger.`,
	}
	return p.remoteCommand(c, func(ctx context.Context, r *remote, args []string) error {
		id, err := memberID(ctx, r, args[0])
		if err != nil {
			return err
		}
		if _, err := r.RemoveMember(ctx, id); err != nil {
			return err
		}
		return r.say(done{true}, "%s is removed", args[0])
	})
}

func (p *Program) clusterTransferCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "transfer [ID|NAME]", Short: "Hand leadership to another server", Args: cobra.MaximumNArgs(1),
		Long: `Hands leadership to the named server, or to the one that is most up to date. Requests wait for it shortly; none fails.`,
	}
	return p.remoteCommand(c, func(ctx context.Context, r *remote, args []string) error {
		id, to := "", "another server"
		if len(args) == 1 {
			var err error
			if id, err = memberID(ctx, r, args[0]); err != nil {
				return err
			}
			to = args[0]
		}
		if _, err := r.TransferLeadership(ctx, id); err != nil {
			return err
		}
		return r.say(done{true}, "leadership is handed to %s", to)
	})
}

func (p *Program) clusterResealCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "reseal", Short: "Seal attributes anew after tokenizer.safe_password was changed", Args: cobra.NoArgs,
		Long: `Seals anew, with the present tokenizer.safe_password, what earlier ones have sealed, while the cluster works on. When nothing is left the
earlier password can leave tokenizer.safe_password_previous on all nodes. Where sessions are kept in a store nobody counts what is left: once all servers have the
new password, nothing is when this has sealed 0 values anew. Shows its progress on standard error.`,
	}
	return p.remoteCommand(c, func(ctx context.Context, r *remote, _ []string) error {
		var all resealView
		for cursor := ""; ; {
			page, err := r.Reseal(ctx, cursor)
			if err != nil {
				return err
			}
			all.add(page)
			if cursor = page.NextCursor; cursor == "" {
				break
			}
			fmt.Fprintln(p.Stderr, &all)
		}
		if all.Left == nil && all.Resealed > 0 {
			return r.say(all, "%s. Nobody counts what is left here: once all servers have the new password, run this again until it seals 0 anew", &all)
		}
		return r.say(all, "%s", &all)
	})
}

func (p *Program) clusterOpenCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "open", Short: "Let a cluster serve again whose sessions were moved out", Args: cobra.NoArgs,
		Long: `hydrastore migrate closes the cluster that it moves sessions out of, and leaves it closed: two homes must not serve the same sessions. This opens
it again, with all that it held, where the move was given up. Log-outs at the new home are not known here. Needs --socket, at one of the nodes.`,
	}
	return p.remoteCommand(c, func(ctx context.Context, r *remote, _ []string) error {
		moving, err := r.Move(ctx, session.MoveStep{Kind: session.MoveReopen})
		if err != nil {
			return err
		}
		return r.say(done{true}, "the cluster serves again: %s, %s", plural(moving.Users, "user"), plural(moving.Sessions, "session"))
	})
}

// resealView is what all pages of a Reseal came to.
type resealView struct {
	Resealed int  `json:"resealed"`
	Left     *int `json:"left"` // nil = nobody counts
}

func (v *resealView) add(page session.Resealed) {
	v.Resealed, v.Left = v.Resealed+page.Count, &page.Left
	if page.Left == session.LeftUnknown {
		v.Left = nil
	}
}

func (v *resealView) String() string {
	if v.Left == nil {
		return fmt.Sprintf("%d values are sealed anew", v.Resealed)
	}
	return fmt.Sprintf("%d values are sealed anew, %d are left", v.Resealed, *v.Left)
}

// memberID finds a server by id, or by its name when only one has it.
func memberID(ctx context.Context, r *remote, text string) (string, error) {
	status, err := r.ClusterStatus(ctx)
	if err != nil {
		return "", err
	}
	var named []session.Member
	for _, m := range status.Members {
		if m.ID == text {
			return m.ID, nil
		}
		if m.Name == text {
			named = append(named, m)
		}
	}
	switch len(named) {
	case 1:
		return named[0].ID, nil
	case 0:
		return "", session.Errorf(session.CodeNotFound, "no server has the id or the name %q; `hydrastore cluster members` shows them", text)
	}
	return "", usagef("%d servers have the name %q: use the id", len(named), text)
}
