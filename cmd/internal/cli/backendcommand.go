package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/hydrastore/hydrastore/backend/dynamodb"
	"github.com/hydrastore/hydrastore/cmd/internal/config"
)

// tablePatience is how long a table may take to be made. DynamoDB needs some seconds.
const tablePatience = 5 * time.Minute

func (p *Program) backendCommand() *cobra.Command {
	c := group(&cobra.Command{Use: "backend", Short: "Prepare another home for sessions than the cluster's own"})
	c.AddCommand(p.createTableCommand())
	return c
}

func (p *Program) createTableCommand() *cobra.Command {
	var flags *config.Flags
	c := &cobra.Command{
		Use:   "create-table",
		Short: "Make the table of DynamoDB that tokenizer.table names",
		Long: `Makes the table, waits until it serves, and turns on its time to live for the attribute "expires", by which DynamoDB deletes what
has ended. Reads the configuration as server would; tokenizer.type must be dynamodb. A table that is there is left as it is
and checked, so that the command may be repeated. Permissions: ` + dynamodb.TablePermissions + `.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			settings, err := config.Load(flags.Input(p.Environ, p.getenv))
			if err != nil {
				return err
			}
			if settings.DynamoDB.Table == "" {
				return usagef("backend create-table: tokenizer.type is not dynamodb: name the node's configuration with --config")
			}
			ctx, cancel := context.WithTimeoutCause(c.Context(), tablePatience, fmt.Errorf("given up after %v; the command may be repeated", tablePatience))
			defer cancel()
			return dynamodb.CreateTable(ctx, settings.DynamoDB, func(format string, args ...any) { fmt.Fprintf(p.Stdout, format+"\n", args...) })
		},
	}
	flags = config.AddFlags(c.Flags())
	return c
}
