package cli

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hydrastore/hydrastore/session"
)

// filterFlags select sessions.
type filterFlags struct {
	user, clientIP, policy string
	idleLongerThan         time.Duration
	permanent              bool
}

func (f *filterFlags) define(c *cobra.Command) {
	c.Flags().StringVar(&f.user, "of-user", "", "sessions of this user")
	c.Flags().StringVar(&f.clientIP, "client-ip", "", "sessions from this address")
	c.Flags().StringVar(&f.policy, "policy", "", "sessions under this policy")
	c.Flags().DurationVar(&f.idleLongerThan, "idle-longer-than", 0, "sessions not used for so long, such as 10m")
	c.Flags().BoolVar(&f.permanent, "permanent", false, "permanent sessions, which are listed apart, instead of the others")
}

func (f *filterFlags) filter() (session.Filter, error) {
	filter := session.Filter{User: f.user, Policy: f.policy, IdleLongerThan: f.idleLongerThan, Permanent: f.permanent}
	if f.clientIP != "" {
		address, err := netip.ParseAddr(f.clientIP)
		if err != nil {
			return filter, usagef("--client-ip: %q is no IP address", f.clientIP)
		}
		filter.ClientAddress = address
	}
	if f.idleLongerThan < 0 {
		return filter, usagef("--idle-longer-than must not be negative")
	}
	return filter, nil
}

func (p *Program) sessionCommand() *cobra.Command {
	c := group(&cobra.Command{Use: "session", Short: "List, show, end and rotate sessions"})
	c.AddCommand(p.sessionListCommand(), p.sessionShowCommand(), p.sessionRevokeCommand(), p.sessionRotateCommand(), p.sessionReauthenticateCommand())
	return c
}

func (p *Program) sessionListCommand() *cobra.Command {
	var flags filterFlags
	var limit int
	c := &cobra.Command{
		Use: "list", Short: "List live sessions, oldest first", Args: cobra.NoArgs,
		Long: "Lists live sessions, oldest first; permanent ones with --permanent. Without role admin only your own: --of-user YOU.",
	}
	flags.define(c)
	c.Flags().IntVar(&limit, "limit", 1000, "at most so many, 0 for all")
	return p.remoteCommand(c, func(ctx context.Context, r *remote, _ []string) error {
		filter, err := flags.filter()
		if err != nil {
			return err
		}
		if limit < 0 {
			return usagef("--limit must not be negative")
		}
		list, err := gather(limit, func(p session.Page) ([]session.Session, string, session.Meta, error) {
			page, err := r.ListSessions(ctx, filter, p)
			return page.Items, page.NextCursor, page.Meta, err
		})
		if err != nil {
			return err
		}
		view := listView[sessionView]{Items: []sessionView{}, SessionsNode: strings.Join(list.nodes, ",")}
		for _, s := range list.items {
			view.Items = append(view.Items, viewOfSession(s))
		}
		return r.print(view, func() *table {
			t, cut := sessionTable(list.items), ""
			if list.more {
				cut = fmt.Sprintf("only the first %d; --limit 0 shows all", limit)
			}
			t.foot = lines(cut, ofNodes("these are the sessions", list.nodes...))
			return t
		})
	})
}

func (p *Program) sessionShowCommand() *cobra.Command {
	c := &cobra.Command{Use: "show ID", Short: "Show one session with its attributes", Args: cobra.ExactArgs(1)}
	return p.remoteCommand(c, func(ctx context.Context, r *remote, args []string) error {
		id, err := session.ParseID(args[0])
		if err != nil {
			return err
		}
		checked, err := r.GetSession(ctx, id)
		if err != nil {
			return err
		}
		return r.print(viewOfChecked(checked), func() *table { return checkedTable(checked) })
	})
}

func (p *Program) sessionRevokeCommand() *cobra.Command {
	var flags filterFlags
	var all bool
	c := &cobra.Command{
		Use: "revoke [ID…]", Short: "End sessions, by id or all that filters select",
		Long: `Ends the named sessions, or exactly those that "session list" shows with the same filters, or with --all every session
of the cluster that is not permanent, your own too.`,
		Args: cobra.ArbitraryArgs,
	}
	flags.define(c)
	c.Flags().BoolVar(&all, "all", false, "every session of the cluster that is not permanent")
	return p.remoteCommand(c, func(ctx context.Context, r *remote, args []string) error {
		filter, err := flags.filter()
		if err != nil {
			return err
		}
		revoked, err := revoke(ctx, r, args, filter, all)
		if err != nil {
			return err
		}
		return r.say(revokedView{Revoked: revoked.Count, SessionsNode: revoked.Node}, "%s", lines(plural(revoked.Count, "session")+" ended", ofNodes("they were sessions", revoked.Node)))
	})
}

// revoke takes exactly one way of saying which.
func revoke(ctx context.Context, r *remote, ids []string, filter session.Filter, all bool) (session.Revoked, error) {
	ways := 0
	for _, given := range []bool{len(ids) > 0, !filter.IsZero(), all} {
		if given {
			ways++
		}
	}
	if ways != 1 {
		return session.Revoked{}, usagef("say which sessions: ids, or filters (--of-user, --client-ip, --policy, --idle-longer-than, --permanent), or --all")
	}
	switch {
	case all:
		return r.RevokeAllSessions(ctx)
	case !filter.IsZero():
		return r.RevokeSessions(ctx, filter)
	}
	parsed := make([]session.ID, len(ids)) // all of them first: a typo in the last must not leave half done
	for i, text := range ids {
		var err error
		if parsed[i], err = session.ParseID(text); err != nil {
			return session.Revoked{}, err
		}
	}
	for i, id := range parsed {
		if _, err := r.RevokeSession(ctx, id); err != nil {
			return session.Revoked{Count: i}, fmt.Errorf("%s ended, then %s: %w", plural(i, "session"), id, err)
		}
	}
	return session.Revoked{Count: len(parsed)}, nil
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
