package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/hydrastore/hydrastore/session"
)

func (p *Program) policyCommand() *cobra.Command {
	c := group(&cobra.Command{Use: "policy", Short: "Look at and change the timers and rules of sessions"})
	c.AddCommand(p.policyListCommand(), p.policyGetCommand(), p.policySetCommand(), p.policyDeleteCommand())
	return c
}

func (p *Program) policyListCommand() *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List policies", Args: cobra.NoArgs}
	return p.remoteCommand(c, func(ctx context.Context, r *remote, _ []string) error {
		list, err := r.ListPolicies(ctx)
		if err != nil {
			return err
		}
		view := listView[policyView]{Items: []policyView{}}
		for _, one := range list.Items {
			view.Items = append(view.Items, viewOfPolicy(one))
		}
		return r.print(view, func() *table { return policyTable(list.Items) })
	})
}

func (p *Program) policyGetCommand() *cobra.Command {
	c := &cobra.Command{Use: "get NAME", Short: "Show one policy", Args: cobra.ExactArgs(1)}
	return p.remoteCommand(c, func(ctx context.Context, r *remote, args []string) error {
		policy, err := r.GetPolicy(ctx, args[0])
		if err != nil {
			return err
		}
		return r.print(viewOfPolicy(policy.Policy), func() *table { return policyTable([]session.Policy{policy.Policy}) })
	})
}

// policyFlags are the fields of a policy; those that are not given stay.
type policyFlags struct{ idle, absolute, window, attributesWrite string }

func (f *policyFlags) define(c *cobra.Command) {
	c.Flags().StringVar(&f.idle, "idle-timeout", "", "end sessions not used for so long: 30m, or none")
	c.Flags().StringVar(&f.absolute, "absolute-lifetime", "", "end sessions so long after log-in: 12h, or none")
	c.Flags().StringVar(&f.window, "touch-window", "", "do not write uses within this time of the last written one: 20s, 0 to write every use, auto for a 32nd of the idle timeout, at most 1m")
	c.Flags().StringVar(&f.attributesWrite, "attributes-write", "", "who changes attributes: service or bearer")
}

func (f *policyFlags) change() (session.PolicyChange, error) {
	var change session.PolicyChange
	err := setDuration(&change.IdleTimeout, "--idle-timeout", f.idle, "none", 0)
	if err == nil {
		err = setDuration(&change.AbsoluteLifetime, "--absolute-lifetime", f.absolute, "none", 0)
	}
	if err == nil {
		err = setDuration(&change.TouchWindow, "--touch-window", f.window, "auto", session.TouchWindowAuto)
	}
	if f.attributesWrite != "" {
		writer := session.AttributesWriter(f.attributesWrite)
		change.AttributesWrite = &writer
	}
	return change, err
}

// setDuration reads a duration, or the word that stands for a special one.
func setDuration(field **time.Duration, flag, text, word string, special time.Duration) error {
	switch text {
	case "":
		return nil
	case word:
		*field = &special
		return nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return usagef("%s: a duration such as 90s or 12h is needed, or %s; this is %q", flag, word, text)
	}
	*field = &d
	return nil
}

func (p *Program) policySetCommand() *cobra.Command {
	var flags policyFlags
	c := &cobra.Command{
		Use: "set NAME", Short: "Change a policy, or make it", Args: cobra.ExactArgs(1),
		Long: `Changes the named fields on all nodes at once, for living sessions too; the others stay. A policy that does not exist is made, with
defaults for what is not named. Nothing that has ended comes back; absolute ends only come nearer.`,
	}
	flags.define(c)
	return p.remoteCommand(c, func(ctx context.Context, r *remote, args []string) error {
		change, err := flags.change()
		if err != nil {
			return err
		}
		verb := "changed"
		result, err := r.PatchPolicy(ctx, args[0], change)
		if session.CodeOf(err) == session.CodeNotFound {
			verb = "made"
			result, err = r.PutPolicy(ctx, args[0], change)
		}
		if err != nil {
			return err
		}
		return r.print(viewOfPolicy(result.Policy), func() *table {
			t := policyTable([]session.Policy{result.Policy})
			t.foot = verb
			return t
		})
	})
}

func (p *Program) policyDeleteCommand() *cobra.Command {
	c := &cobra.Command{Use: "delete NAME", Short: "Remove a policy that no session and no user has", Args: cobra.ExactArgs(1)}
	return p.remoteCommand(c, func(ctx context.Context, r *remote, args []string) error {
		if _, err := r.DeletePolicy(ctx, args[0]); err != nil {
			return err
		}
		return r.say(done{true}, "policy %s removed", args[0])
	})
}
