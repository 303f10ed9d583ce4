package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hydrastore/hydrastore/client"
	"github.com/hydrastore/hydrastore/session"
)

func (p *Program) userCommand() *cobra.Command {
	c := group(&cobra.Command{Use: "user", Short: "Make and change users"})
	c.AddCommand(p.userAddCommand(), p.userSetCommand(), p.userPasswdCommand(), p.userListCommand(), p.userShowCommand(),
		p.userSwitchCommand("disable", true, "Refuse a user's log-ins and end its sessions"),
		p.userSwitchCommand("enable", false, "Let a disabled user log in again"), p.userDeleteCommand())
	return c
}

// newPassword is the flags for a password that is set, beside those for the caller's own.
type newPassword struct{ file string }

func (n *newPassword) define(c *cobra.Command) {
	c.Flags().StringVar(&n.file, "new-password-file", "", "file with the new password in its first line, - for standard input (HYDRASTORE_NEW_PASSWORD; default: ask)")
}

func (n *newPassword) read(p *Program, user string) (string, error) {
	password, err := p.readSecret(secretSource{file: n.file, env: "HYDRASTORE_NEW_PASSWORD", prompt: "New password of " + user, twice: true})
	if err != nil {
		return "", newPasswordHint(err)
	}
	return password, session.ValidatePassword(password)
}

// newPasswordHint names the flag of this password where nobody can be asked.
func newPasswordHint(err error) error {
	if usage, ok := err.(*usageError); ok { //nolint:errorlint // readSecret does not wrap it
		return &usageError{text: usage.text, hint: "The new user's password is meant: --new-password-file FILE or HYDRASTORE_NEW_PASSWORD."}
	}
	return err
}

func (p *Program) userAddCommand() *cobra.Command {
	var password newPassword
	var roles, policies []string
	var disabled, none, md5 bool
	c := &cobra.Command{Use: "add NAME", Short: "Make a user", Args: cobra.ExactArgs(1)}
	password.define(c)
	c.Flags().StringSliceVar(&roles, "role", []string{"user"}, "user, service or admin; several with commas")
	c.Flags().StringSliceVar(&policies, "policy", nil, "policies that the user may log in under, the first is used when none is named (default: default)")
	c.Flags().BoolVar(&disabled, "disabled", false, "make it disabled")
	c.Flags().BoolVar(&none, "no-password", false, "without a password: only services can log it in")
	c.Flags().BoolVar(&md5, "md5-login", false, md5LoginHelp)
	return p.remoteCommand(c, func(ctx context.Context, r *remote, args []string) error {
		user := session.NewUser{Name: args[0], Roles: rolesOf(roles), Policies: policies, Disabled: disabled, MD5Login: md5}
		if !none {
			var err error
			if user.Password, err = password.read(p, user.Name); err != nil {
				return err
			}
		}
		made, err := r.CreateUser(ctx, user)
		if err != nil {
			return err
		}
		return r.say(viewOfUser(made.User), "user %s made, with the roles %s", made.Name, roleList(made.Roles))
	})
}

const md5LoginHelp = "let it log in by the MD5 of its password, or by a challenge: the cluster keeps that MD5, sealed with tokenizer.safe_password"

func (p *Program) userSetCommand() *cobra.Command {
	var roles, policies []string
	var md5 bool
	c := &cobra.Command{
		Use: "set NAME", Short: "Change a user's roles, policies and ways to log in", Args: changesSomething,
		Long: "Changes what is named and leaves the rest. The user's sessions lose at once the roles that it loses.",
	}
	c.Flags().StringSliceVar(&roles, "role", nil, "user, service or admin; several with commas")
	c.Flags().StringSliceVar(&policies, "policy", nil, "policies that the user may log in under, the first is used when none is named")
	c.Flags().BoolVar(&md5, "md5-login", false, md5LoginHelp+"; --md5-login=false removes it")
	return p.remoteCommand(c, func(ctx context.Context, r *remote, args []string) error {
		var change session.UserChange
		if c.Flags().Changed("role") {
			given := rolesOf(roles)
			change.Roles = &given
		}
		if c.Flags().Changed("policy") {
			change.Policies = &policies
		}
		if c.Flags().Changed("md5-login") {
			change.MD5Login = &md5
		}
		changed, err := r.UpdateUser(ctx, args[0], change)
		if err != nil {
			return err
		}
		return r.say(viewOfUser(changed.User), "user %s is changed", changed.Name)
	})
}

func changesSomething(c *cobra.Command, args []string) error {
	for _, flag := range []string{"role", "policy", "md5-login"} {
		if c.Flags().Changed(flag) {
			return cobra.ExactArgs(1)(c, args)
		}
	}
	return usagef("nothing to change: name --role, --policy or --md5-login")
}

func (p *Program) userPasswdCommand() *cobra.Command {
	var password newPassword
	var currentFile string
	var endPermanent bool
	c := &cobra.Command{
		Use: "passwd [NAME]", Short: "Set a user's password, or your own, and end its other sessions", Args: cobra.MaximumNArgs(1),
		Long: "Sets the password of a user, as an admin. Without NAME it sets your own, for which the present one is needed.\n" +
			"The user's other sessions end, permanent ones only with --end-permanent.",
	}
	password.define(c)
	c.Flags().StringVar(&currentFile, "current-password-file", "", "file with your present password in its first line, - for standard input (HYDRASTORE_PASSWORD; default: ask)")
	c.Flags().BoolVar(&endPermanent, "end-permanent", false, "end permanent sessions too")
	return p.remoteCommand(c, func(ctx context.Context, r *remote, args []string) error {
		if len(args) == 0 {
			return p.changeOwnPassword(ctx, r, ownPassword{currentFile, &password, endPermanent})
		}
		if currentFile != "" {
			return usagef("--current-password-file is for your own password: leave out the name")
		}
		text, err := password.read(p, args[0])
		if err != nil {
			return err
		}
		changed, err := r.UpdateUser(ctx, args[0], session.UserChange{Password: &text, EndPermanent: endPermanent})
		var refused *session.Error
		if errors.As(err, &refused) && refused.Field == "current_password" {
			return fmt.Errorf("%w (to change your own password leave out the name)", err)
		}
		if err != nil {
			return err
		}
		return r.say(viewOfUser(changed.User), "the password of %s is set; its other sessions have ended", changed.Name)
	})
}

// ownPassword is what the one who asks says of a change of its own password.
type ownPassword struct {
	currentFile  string
	next         *newPassword
	endPermanent bool
}

// changeOwnPassword sets the password of the one who asks.
func (p *Program) changeOwnPassword(ctx context.Context, r *remote, o ownPassword) error {
	if r.key.IsZero() {
		return usagef("over --socket there is no password of your own: name the user")
	}
	own, err := r.Check(ctx, client.Look())
	if err != nil {
		return err
	}
	current, err := p.readSecret(secretSource{file: o.currentFile, env: "HYDRASTORE_PASSWORD", prompt: "Present password of " + own.User})
	if err != nil {
		return err
	}
	text, err := o.next.read(p, own.User)
	if err != nil {
		return err
	}
	changed, err := r.UpdateUser(ctx, own.User, session.UserChange{Password: &text, CurrentPassword: &current, EndPermanent: o.endPermanent})
	if err != nil {
		return err
	}
	return r.say(viewOfUser(changed.User), "your password is set; your other sessions have ended")
}

func (p *Program) userListCommand() *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List users", Args: cobra.NoArgs}
	return p.remoteCommand(c, func(ctx context.Context, r *remote, _ []string) error {
		list, err := gather(0, func(p session.Page) ([]session.User, string, session.Meta, error) {
			page, err := r.ListUsers(ctx, p)
			return page.Items, page.NextCursor, page.Meta, err
		})
		if err != nil {
			return err
		}
		view := listView[userView]{Items: []userView{}, SessionsNode: strings.Join(list.nodes, ",")}
		for _, u := range list.items {
			view.Items = append(view.Items, viewOfUser(u))
		}
		return r.print(view, func() *table { return userTable(list.items, list.nodes...) })
	})
}

func (p *Program) userShowCommand() *cobra.Command {
	c := &cobra.Command{Use: "show NAME", Short: "Show one user", Args: cobra.ExactArgs(1)}
	return p.remoteCommand(c, func(ctx context.Context, r *remote, args []string) error {
		user, err := r.GetUser(ctx, args[0])
		if err != nil {
			return err
		}
		return r.print(viewOfUser(user.User), func() *table { return userTable([]session.User{user.User}, user.Node) })
	})
}

func (p *Program) userSwitchCommand(verb string, disabled bool, short string) *cobra.Command {
	c := &cobra.Command{Use: verb + " NAME", Short: short, Args: cobra.ExactArgs(1)}
	return p.remoteCommand(c, func(ctx context.Context, r *remote, args []string) error {
		changed, err := r.UpdateUser(ctx, args[0], session.UserChange{Disabled: &disabled})
		if err != nil {
			return err
		}
		return r.say(viewOfUser(changed.User), "user %s is %sd", changed.Name, verb)
	})
}

func (p *Program) userDeleteCommand() *cobra.Command {
	c := &cobra.Command{Use: "delete NAME…", Short: "Remove users and end their sessions", Args: cobra.MinimumNArgs(1)}
	return p.remoteCommand(c, func(ctx context.Context, r *remote, args []string) error {
		for i, name := range args {
			if _, err := r.DeleteUser(ctx, name); err != nil {
				if i > 0 {
					err = fmt.Errorf("%s removed, then %s: %w", plural(i, "user"), name, err)
				}
				return err
			}
		}
		return r.say(done{true}, "%s removed", plural(len(args), "user"))
	})
}

func rolesOf(names []string) []session.Role {
	roles := make([]session.Role, len(names))
	for i, name := range names {
		roles[i] = session.Role(name)
	}
	return roles
}
