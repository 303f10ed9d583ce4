package cli

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hydrastore/hydrastore/session"
)

func (p *Program) policyCommand() *cobra.Command {
	c := group(&cobra.Command{Use: "policy", Short: "Look at and change the timers and rules of sessions"})
	c.AddCommand(p.policyListCommand(), p.policyGetCommand(), p.policyPresetsCommand(), p.policySetCommand(), p.policyApplyCommand(), p.policyDeleteCommand())
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
		return r.print(viewOfPolicy(policy.Policy), func() *table { return policyDetails(policy.Policy) })
	})
}

// policyFlags are the fields of a policy; those that are not given stay.
type policyFlags struct {
	preset, idle, inactivity, absolute, window, bindAddress, attributes, attributesWrite, rotateGrace, keyFormat string
	perUser, perAddress, total, onLimit                                                                          string

	noTickle, permanentAllowed, permanentCounted, longerIdleAllowed, single switchFlag
}

func (f *policyFlags) define(c *cobra.Command) {
	c.Flags().StringVar(&f.preset, "preset", "", "begin with all rules of a preset: "+strings.Join(session.PresetNames(), ", "))
	c.Flags().StringVar(&f.idle, "idle-timeout", "", "end sessions not used for so long: 30m, or none")
	c.Flags().StringVar(&f.absolute, "absolute-lifetime", "", "end sessions so long after log-in: 12h, or none")
	c.Flags().StringVar(&f.window, "touch-window", "", "do not write uses within this time of the last written one: 20s, 0 to write every use, auto for a 32nd of the idle timeout, at most 1m")
	c.Flags().StringVar(&f.inactivity, "inactivity-timeout", "", "ask the user to stay after so long with nothing but touches, and end the session a minute later: 1h, or none")
	c.Flags().Var(&f.noTickle, "no-tickle", "true: touches move no timer; false: they do")
	c.Flags().StringVar(&f.bindAddress, "bind-address", "", "uses at another address than that of the log-in: off (nothing), log, or strict (the key is unknown there)")
	c.Flags().Var(&f.permanentAllowed, "permanent-allowed", "true: sessions without timers may be made; false: no")
	c.Flags().Var(&f.longerIdleAllowed, "longer-idle-allowed", "true: users may ask for a longer idle timeout than the policy's, or none; false: services and admins only")
	c.Flags().StringVar(&f.rotateGrace, "rotate-grace", "", "let a key work for so long after its rotation: 30s, or none")
	c.Flags().StringVar(&f.keyFormat, "key-format", "", "what the keys of log-ins look like from now on: "+keyFormatNames())
	c.Flags().StringVar(&f.attributes, "attributes", "", "where attributes are: shared (at every node) or local (in the memory of the node that wrote them)")
	c.Flags().StringVar(&f.attributesWrite, "attributes-write", "", "who changes attributes: service or bearer")
	c.Flags().StringVar(&f.perUser, "max-sessions-per-user", "", "sessions of one user under this policy: a number, or none")
	c.Flags().StringVar(&f.perAddress, "max-sessions-per-address", "", "sessions from one client address under this policy: a number, or none")
	c.Flags().StringVar(&f.total, "max-sessions", "", "sessions under this policy: a number, or none")
	c.Flags().StringVar(&f.onLimit, "on-limit", "", "what a log-in does that would exceed a limit: refuse, evict_oldest or evict_idle")
	c.Flags().Var(&f.permanentCounted, "permanent-counted", "true: permanent sessions count towards this policy's limits; false: they do not")
	c.Flags().Var(&f.single, "single-session", "true: a log-in ends the user's other sessions under this policy; false: it does not")
}

func keyFormatNames() string {
	var names []string
	for _, format := range session.KeyFormats() {
		names = append(names, string(format))
	}
	return strings.Join(names, ", ")
}

func (f *policyFlags) change() (session.PolicyChange, error) {
	var change session.PolicyChange
	if f.preset != "" {
		preset, found := session.Preset(f.preset)
		if !found {
			return change, usagef("--preset: use one of %s; this is %q", strings.Join(session.PresetNames(), ", "), f.preset)
		}
		change = preset.AsChange()
	}
	err := setDuration(&change.IdleTimeout, "--idle-timeout", f.idle, "none", 0)
	if err == nil {
		err = setDuration(&change.AbsoluteLifetime, "--absolute-lifetime", f.absolute, "none", 0)
	}
	if err == nil {
		err = setDuration(&change.TouchWindow, "--touch-window", f.window, "auto", session.TouchWindowAuto)
	}
	if err == nil {
		err = setDuration(&change.InactivityTimeout, "--inactivity-timeout", f.inactivity, "none", 0)
	}
	if err == nil {
		err = setDuration(&change.RotateGrace, "--rotate-grace", f.rotateGrace, "none", 0)
	}
	f.noTickle.set(&change.NoTickle)
	f.permanentAllowed.set(&change.PermanentAllowed)
	f.longerIdleAllowed.set(&change.LongerIdleAllowed)
	if f.bindAddress != "" {
		binding := session.AddressBinding(f.bindAddress)
		change.BindAddress = &binding
	}
	if f.keyFormat != "" {
		format := session.KeyFormat(f.keyFormat)
		change.KeyFormat = &format
	}
	if f.attributes != "" {
		place := session.AttributesPlace(f.attributes)
		change.Attributes = &place
	}
	if f.attributesWrite != "" {
		writer := session.AttributesWriter(f.attributesWrite)
		change.AttributesWrite = &writer
	}
	if err == nil {
		err = f.limits(&change.LimitsChange)
	}
	return change, err
}

func (f *policyFlags) limits(change *session.LimitsChange) error {
	for _, limit := range []struct {
		field      **int
		flag, text string
	}{
		{&change.MaxSessionsPerUser, "--max-sessions-per-user", f.perUser},
		{&change.MaxSessionsPerAddress, "--max-sessions-per-address", f.perAddress},
		{&change.MaxSessions, "--max-sessions", f.total},
	} {
		if err := setLimit(limit.field, limit.flag, limit.text); err != nil {
			return err
		}
	}
	if f.onLimit != "" {
		onLimit := session.OnLimit(f.onLimit)
		change.OnLimit = &onLimit
	}
	f.single.set(&change.SingleSession)
	f.permanentCounted.set(&change.PermanentCounted)
	return nil
}

// setLimit reads a limit, or "none".
func setLimit(field **int, flag, text string) error {
	switch text {
	case "":
		return nil
	case "none":
		*field = new(int)
		return nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return usagef("%s: a number is needed, or none; this is %q", flag, text)
	}
	*field = &n
	return nil
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

func (p *Program) policyPresetsCommand() *cobra.Command {
	var output outputFlag
	c := &cobra.Command{
		Use: "presets", Short: "List the rules that a policy can begin with", Args: cobra.NoArgs,
		Long: "Lists what `policy set NAME --preset PRESET`, and `preset:` in the configuration file, give a policy. No cluster is asked.",
		RunE: func(*cobra.Command, []string) error {
			view := listView[policyView]{Items: []policyView{}}
			for _, one := range session.Presets() {
				view.Items = append(view.Items, viewOfPolicy(one))
			}
			return output.print(p.Stdout, view, func() *table { return policyTable(session.Presets()) })
		},
	}
	output.define(c)
	return c
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
			t := policyDetails(result.Policy)
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
