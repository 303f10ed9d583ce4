package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

func (p *Program) healthCommand() *cobra.Command {
	f := &connection{program: p, rounds: 1}
	var local bool
	c := &cobra.Command{
		Use: "health", Short: "Ask whether a node is ready to serve", Args: cobra.NoArgs,
		Long: `Asks GET /readyz once: exit code 0 when the node is ready for linearizable requests, 4 when it is not. For health checks of containers
and for scripts that wait. With several addresses one that is ready is enough.`,
		RunE: func(c *cobra.Command, _ []string) error {
			return f.health(c.Context(), local)
		},
	}
	f.define(c)
	c.Flags().BoolVar(&local, "local", false, "ready for reads with consistency=local is enough")
	return c
}

func (f *connection) health(ctx context.Context, local bool) error {
	r, err := f.connect()
	if err != nil {
		return err
	}
	defer r.Close()
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	if err := r.Ready(ctx, local); err != nil {
		return &unhinted{fmt.Errorf("not ready: %w", err)}
	}
	return r.say(map[string]string{"status": "ready"}, "ready")
}
