package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hydrastore/hydrastore/session"
)

func (p *Program) sessionRotateCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "rotate", Short: "Give the session that you are logged in with another key", Args: cobra.NoArgs,
		Long: `Gives the session another key, which is saved where login has saved the one before; of a session named otherwise it is printed
alone on standard error. The old key works for the policy's rotation grace, unless you gain a role by it.`,
	}
	return p.remoteCommand(c, func(ctx context.Context, r *remote, _ []string) error {
		if r.key.IsZero() {
			return usagef("over --socket there is no session to rotate")
		}
		issued, err := r.Rotate(ctx)
		if err != nil {
			return err
		}
		return r.takeUp(issued, "rotated")
	})
}

func (p *Program) sessionReauthenticateCommand() *cobra.Command {
	f := &connection{program: p}
	c := &cobra.Command{
		Use: "reauthenticate", Short: "Prove with your password that it is still you", Args: cobra.NoArgs,
		Long: `Asks for the password of the session that you are logged in with, for what accepts only a recent proof. The session gets another
key, as with rotate, and the old one ends at once.`,
	}
	f.define(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if f.user != "" {
			return usagef("a session that --user makes is proved already: leave out --user to prove the one that you are logged in with")
		}
		source := secretSource{flag: f.password, file: f.passwordFile, env: "HYDRASTORE_PASSWORD", prompt: "Password"}
		f.password, f.passwordFile = "", ""
		return f.withLogin(c.Context(), func(ctx context.Context, r *remote) error {
			if r.key.IsZero() {
				return usagef("over --socket there is no session to re-authenticate")
			}
			password, err := p.readSecret(source)
			if err != nil {
				return err
			}
			issued, err := r.Reauthenticate(ctx, session.Proof{Password: password})
			if session.CodeOf(err) == session.CodeUnauthenticated {
				return &unhinted{err}
			}
			if err != nil {
				return err
			}
			return r.takeUp(issued, "re-authenticated")
		})
	}
	return c
}

// takeUp goes on with a session's new key, and keeps it where the old one was.
func (r *remote) takeUp(issued session.Issued, what string) error {
	old := r.key
	r.become(issued.Key)
	saved, found, err := r.program.loadLogin()
	if err != nil {
		return err
	}
	kept := "its key is on standard error"
	if found && saved.Key == old.Reveal() {
		saved.Key = issued.Key.Reveal()
		path, err := r.program.saveLogin(saved)
		if err != nil {
			return err
		}
		kept = "its key is saved in " + path
	} else {
		fmt.Fprintln(r.program.Stderr, issued.Key.Reveal())
	}
	return r.say(viewOfSession(issued.Session), "%s: session %s of %s; %s", what, issued.ID, issued.User, kept)
}
