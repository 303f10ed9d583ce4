package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// Program is one run of hydrastore. Its fields are all that it knows of the world; tests give their own.
type Program struct {
	Args    []string // without the program's name
	Environ []string // NAME=value
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
	Version string // as built; "" = ask the build information
}

// Run runs the command that Args name and returns the exit code. It returns when the command has ended; cancelling ctx
// asks for that: server and dev stop in good order, a client's command gives up.
func (p *Program) Run(ctx context.Context) int {
	root := p.root()
	root.SetArgs(rewriteShortLogin(p.Args))
	root.SetIn(p.Stdin)
	root.SetOut(p.Stdout)
	root.SetErr(p.Stderr)
	err := root.ExecuteContext(ctx)
	explain(p.Stderr, err)
	return exitCode(err)
}

func (p *Program) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "hydrastore",
		Short: "A clustered store for log-in sessions",
		Long: `A clustered store for log-in sessions: any node creates, checks, extends and ends any session.

  hydrastore dev          three nodes in this process, to look at
  hydrastore server       one node of a real cluster

Exit codes: 0 done, 1 refused or failed, 2 wrong command line or configuration, 3 not logged in, 4 no node can serve.`,
		SilenceErrors: true, SilenceUsage: true,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddGroup(&cobra.Group{ID: groupNode, Title: "Nodes:"}, &cobra.Group{ID: groupClient, Title: "At a cluster:"})
	root.AddCommand(
		inGroup(groupNode, p.serverCommand(), p.devCommand(), p.configCommand(), p.backendCommand(), p.migrateCommand())...)
	root.AddCommand(
		inGroup(groupClient, p.loginCommand(), p.whoamiCommand(), p.logoutCommand(), p.sessionCommand(), p.userCommand(),
			p.policyCommand(), p.limitsCommand(), p.clusterCommand(), p.healthCommand(), p.benchCommand())...)
	root.AddCommand(p.versionCommand(), p.completionCommand())
	group(root)
	strict(root)
	return root
}

const (
	groupNode   = "node"
	groupClient = "client"
)

func inGroup(id string, commands ...*cobra.Command) []*cobra.Command {
	for _, c := range commands {
		c.GroupID = id
	}
	return commands
}

// group makes a command that only has others below it say so, where cobra would print help and succeed.
func group(c *cobra.Command) *cobra.Command {
	c.Args = cobra.ArbitraryArgs
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			if !c.HasParent() {
				return c.Help()
			}
			return &usageError{text: "say what to do: " + c.CommandPath() + " " + subcommands(c), hint: seeHelp(c)}
		}
		text := "there is no command \"" + c.CommandPath() + " " + args[0] + "\""
		if near := c.SuggestionsFor(args[0]); len(near) > 0 {
			text += "; did you mean " + near[0] + "?"
		}
		return &usageError{text: text, hint: seeHelp(c)}
	}
	return c
}

func subcommands(c *cobra.Command) string {
	var names []string
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	return strings.Join(names, "|")
}

// strict makes every mistake on the command line a usageError, whichever layer finds it.
func strict(c *cobra.Command) {
	c.SuggestionsMinimumDistance = 2
	c.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return &usageError{text: err.Error(), hint: seeHelp(c)}
	})
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			err := check(c, args)
			var usage *usageError
			if err == nil || errors.As(err, &usage) {
				return err
			}
			return &usageError{text: err.Error() + "; use it as: " + c.UseLine(), hint: seeHelp(c)}
		}
	}
	for _, sub := range c.Commands() {
		strict(sub)
	}
}

func seeHelp(c *cobra.Command) string { return "More: " + c.CommandPath() + " --help" }

// getenv reads one variable of the given environment; the last one wins, as in a shell.
func (p *Program) getenv(name string) string {
	for i := len(p.Environ) - 1; i >= 0; i-- {
		if value, found := strings.CutPrefix(p.Environ[i], name+"="); found {
			return value
		}
	}
	return ""
}

// terminal is standard input when a person sits at it.
func (p *Program) terminal() (*os.File, bool) {
	f, ok := p.Stdin.(*os.File)
	return f, ok && term.IsTerminal(int(f.Fd()))
}

// splitList reads items with commas between them.
func splitList(text string) []string {
	var items []string
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}
