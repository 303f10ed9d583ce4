package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hydrastore/hydrastore/cmd/internal/config"
)

func (p *Program) configCommand() *cobra.Command {
	c := group(&cobra.Command{Use: "config", Short: "Look at a node's settings"})
	c.AddCommand(p.configCheckCommand())
	return c
}

func (p *Program) configCheckCommand() *cobra.Command {
	var flags *config.Flags
	c := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Say what is wrong with a configuration, and where",
		Long: `Reads the file, HYDRASTORE_… in the environment and the flags as server would, and lists everything that is wrong with
file and line. Nothing is started or changed. Exit code 2 when there is something.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			in := flags.Input(p.Environ, p.getenv)
			if len(args) == 1 {
				if in.File = args[0]; in.File == "" {
					return usagef("config check: the name of a file is needed")
				}
			}
			settings, err := config.Load(in)
			if err != nil {
				return err
			}
			what := in.File
			if what == "" {
				what = "no file, the environment and flags"
			}
			fmt.Fprintf(p.Stdout, "ok: %s: node %s of cluster %s, API %s, peers %s, gossip %s, data in %s\n", what, settings.Node.Name,
				settings.Cluster.Name, settings.API.Listen, settings.Peer.Listen, settings.Gossip.Listen, settings.Node.DataDir)
			return nil
		},
	}
	flags = config.AddFlags(c.Flags())
	return c
}
