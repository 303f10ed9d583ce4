package cli

import (
	"github.com/spf13/cobra"

	"github.com/hydrastore/hydrastore/cmd/internal/config"
	"github.com/hydrastore/hydrastore/cmd/internal/server"
	"github.com/hydrastore/hydrastore/session"
)

func (p *Program) serverCommand() *cobra.Command {
	var flags *config.Flags
	c := &cobra.Command{
		Use: "server", Short: "Run one node", Args: cobra.NoArgs,
		Long: `Runs one node until SIGTERM or SIGINT, and then drains: /readyz says no, the drain delay passes, requests are finished, leadership is
handed over. Settings: docs/configuration.md; --config FILE, HYDRASTORE_… and the flags below, the later over the earlier.

HYDRASTORE_ADMIN_PASSWORD, or HYDRASTORE_ADMIN_PASSWORD_FILE with the file that holds it, makes the user "admin" when the cluster has no admin.`,
		RunE: func(c *cobra.Command, _ []string) error {
			settings, err := config.Load(flags.Input(p.Environ, p.getenv))
			if err != nil {
				return err
			}
			password, err := p.adminPassword()
			if err != nil {
				return err
			}
			return server.Run(c.Context(), server.Options{
				Config: settings, AdminPassword: password, Version: p.version().Version, Logger: server.NewLogger(p.Stderr, settings.Log),
			})
		},
	}
	flags = config.AddFlags(c.Flags())
	return c
}

// adminPassword reads the first admin's password; "" when none is given.
func (p *Program) adminPassword() (string, error) {
	password, file := p.getenv("HYDRASTORE_ADMIN_PASSWORD"), p.getenv("HYDRASTORE_ADMIN_PASSWORD_FILE")
	switch {
	case password != "" && file != "":
		return "", usagef("set HYDRASTORE_ADMIN_PASSWORD or HYDRASTORE_ADMIN_PASSWORD_FILE, not both")
	case file != "":
		var err error
		if password, err = p.secretFromFile(file); err != nil {
			return "", err
		}
	}
	if password == "" {
		return "", nil
	}
	if err := session.ValidatePassword(password); err != nil {
		return "", usagef("HYDRASTORE_ADMIN_PASSWORD: %s", messageOf(err))
	}
	return password, nil
}
