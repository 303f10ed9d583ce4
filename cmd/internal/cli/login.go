package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hydrastore/hydrastore/session"
)

func (p *Program) loginCommand() *cobra.Command {
	f := &connection{program: p}
	var asked session.Login
	var idle durationFlag
	c := &cobra.Command{
		Use: "login [USER]", Short: "Log in and keep the key for later commands",
		Long: `Logs in and saves the session key in a file that only you can read (HYDRASTORE_LOGIN_FILE, or hydrastore/login.json in the
configuration folder). With --issue-key the key is printed alone on standard error and not saved.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			user := f.user
			if len(args) == 1 {
				if user != "" && user != args[0] {
					return usagef("two users are named: %s and %s", user, args[0])
				}
				user = args[0]
			}
			if user == "" {
				user = p.getenv("HYDRASTORE_USER")
			}
			asked.User, asked.IdleTimeout = user, idle.value
			return f.keepLogin(c.Context(), asked)
		},
	}
	f.define(c)
	c.Flags().StringVar(&asked.Policy, "policy", "", "policy of the session (default: the user's first)")
	c.Flags().BoolVar(&asked.Permanent, "permanent", false, "a session that no timer ends: an API key; its policy must allow it")
	c.Flags().Var(&idle, "idle-timeout", "idle timeout of this session: 10m, or none (default: the policy's)")
	return c
}

func (f *connection) keepLogin(ctx context.Context, asked session.Login) error {
	switch {
	case f.socket != "" || f.key != "":
		return usagef("log in with a user name and a password, not with --socket or --session-key")
	case asked.User == "":
		return usagef("who? hydrastore login USER")
	}
	r, err := f.connect()
	if err != nil {
		return err
	}
	if f.socket != "" { // from the environment
		return usagef("nobody logs in over a socket: unset HYDRASTORE_SOCKET or give --address")
	}
	defer r.Close()
	if asked.Policy == "" {
		asked.Policy = f.issueKey.policy
	}
	issued, err := f.logIn(ctx, r, asked)
	if err != nil {
		return err
	}
	kept := "its key is on standard error"
	if f.issueKey.asked {
		fmt.Fprintln(f.program.Stderr, issued.Key.Reveal())
	} else {
		path, err := f.program.saveLogin(savedLogin{User: issued.User, Addresses: r.addresses, Key: issued.Key.Reveal()})
		if err != nil {
			return err
		}
		kept = "its key is saved in " + path
	}
	return r.say(viewOfSession(issued.Session), "logged in as %s at %s: session %s, %s; %s", issued.User,
		strings.Join(r.addresses, ", "), issued.ID, lifeText(issued.Session), kept)
}

// lifeText says how long a session lives.
func lifeText(s session.Session) string {
	if s.Permanent {
		return "permanent"
	}
	return "until " + instant(s.ExpiresAt)
}

func (p *Program) whoamiCommand() *cobra.Command {
	c := &cobra.Command{Use: "whoami", Short: "Show the session that you are logged in with", Args: cobra.NoArgs}
	return p.remoteCommand(c, func(ctx context.Context, r *remote, _ []string) error {
		if r.key.IsZero() {
			return usagef("over --socket you are the operator and have no session")
		}
		checked, err := r.Check(ctx)
		if err != nil {
			return err
		}
		return r.print(viewOfChecked(checked), func() *table { return checkedTable(checked) })
	})
}

func (p *Program) logoutCommand() *cobra.Command {
	c := &cobra.Command{Use: "logout", Short: "End the session that you are logged in with, and forget its key", Args: cobra.NoArgs}
	return p.remoteCommand(c, func(ctx context.Context, r *remote, _ []string) error {
		if r.key.IsZero() {
			return usagef("over --socket there is no session to end")
		}
		if _, err := r.Logout(ctx); err != nil {
			return err
		}
		if err := p.forgetLogin(r.key); err != nil {
			return err
		}
		return r.say(done{true}, "logged out")
	})
}
