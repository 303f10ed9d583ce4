package cli

import (
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/hydrastore/hydrastore/cmd/internal/config"
	"github.com/hydrastore/hydrastore/cmd/internal/dev"
	"github.com/hydrastore/hydrastore/cmd/internal/server"
)

func (p *Program) devCommand() *cobra.Command {
	o := dev.Options{Version: p.version().Version, Out: p.Stdout}
	var file string
	var verbose bool
	c := &cobra.Command{
		Use: "dev", Short: "Run three nodes in this process, to look at and to try", Args: cobra.NoArgs,
		Long: `Runs a cluster of three real nodes on 127.0.0.1: APIs on 8700, 8710 and 8720, peers one port above, gossip two. Makes the users admin
(password in HYDRASTORE_ADMIN_PASSWORD, or one that is printed) and demo, logs in at one node, checks at the others, logs out, and shows the
curl lines that do the same. Stays until Ctrl-C; with --once it ends after the checks, with exit code 1 when one failed.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.Validate(); err != nil {
				return usagef("%v", err)
			}
			var err error
			if o.AdminPassword, err = p.adminPassword(); err != nil {
				return err
			}
			if file == "" {
				file = p.getenv("HYDRASTORE_CONFIG")
			}
			if o.Base, err = config.Load(config.Input{File: file, Environ: p.Environ, Dev: true}); err != nil {
				return err
			}
			o.Logger = slog.New(slog.DiscardHandler) // what matters to the person comes as an error
			if verbose {
				o.Base.Log.Format = "text"
				o.Logger = server.NewLogger(p.Stderr, o.Base.Log)
			}
			return dev.Run(c.Context(), o)
		},
	}
	c.Flags().BoolVar(&o.Once, "once", false, "end after the checks")
	c.Flags().IntVar(&o.PortBase, "port-base", dev.DefaultPortBase, "first port; 0 takes free ones")
	c.Flags().StringVar(&o.Data, "data", "", "keep the data in this folder (default: a temporary one that goes when it ends)")
	config.AddFileFlag(c.Flags(), &file, "YAML file with policies and limits; its addresses and folders are not used")
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "show the nodes' log")
	return c
}
