package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/hydrastore/hydrastore/client"
	"github.com/hydrastore/hydrastore/cmd/internal/bench"
	"github.com/hydrastore/hydrastore/session"
)

func (p *Program) benchCommand() *cobra.Command {
	f := &connection{program: p}
	var o bench.Options
	var consistency string
	var quiet bool
	c := &cobra.Command{
		Use: "bench create|check|check-extend|mixed", Short: "Drive a cluster and measure it",
		Long: `Drives all nodes named by --address alike, with --clients requests at once, and reports rates and latencies.

  create         log-ins by a service, without a password to hash
  check          is this key good? uses within the touch window write nothing
  check-extend   the same under a policy that writes every use
  mixed          93 % checks, 4 % log-ins, 3 % log-outs

It needs a user with role admin. Its sessions are under policies of its own, bench and bench-every-use, and are removed at the end,
with the policies.`,
		Args: cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs), ValidArgs: []string{"create", "check", "check-extend", "mixed"},
		RunE: func(c *cobra.Command, args []string) error {
			o.Workload = args[0]
			switch consistency {
			case "linearizable":
			case "local":
				o.Consistency = session.Local
			default:
				return usagef("--consistency: use linearizable or local, this is %q", consistency)
			}
			if err := o.Validate(); err != nil {
				return usagef("%v", err)
			}
			if !quiet {
				o.Progress = func(progress bench.Progress) { showProgress(p.Stderr, progress) }
			}
			return f.bench(c.Context(), o)
		},
	}
	f.define(c)
	c.Flags().IntVar(&o.Clients, "clients", 64, "requests at once, over all nodes")
	c.Flags().DurationVar(&o.Duration, "duration", 10*time.Second, "how long to measure")
	c.Flags().IntVar(&o.Sessions, "sessions", 1000, "sessions that checks choose from")
	c.Flags().StringVar(&consistency, "consistency", "linearizable", "of checks: linearizable or local")
	c.Flags().BoolVarP(&quiet, "quiet", "q", false, "no progress on standard error")
	return c
}

func (f *connection) bench(ctx context.Context, o bench.Options) error {
	return f.withLogin(ctx, func(ctx context.Context, r *remote) error {
		nodes, err := f.benchNodes(r, o.Clients)
		if err != nil {
			return err
		}
		report, err := bench.Run(ctx, nodes, benchAdmin{r}, o)
		if len(report.Operations) > 0 {
			if err := r.print(report, func() *table { return reportTable(report) }); err != nil {
				return err
			}
		}
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case report.Failed() > 0:
			fmt.Fprintf(f.program.Stderr, "hydrastore: %s failed\n", plural(int(report.Failed()), "request"))
			return errSaidAlready
		}
		return nil
	})
}

// benchNodes makes a client for each address, so that all are asked alike and a failure is counted, not hidden.
func (f *connection) benchNodes(r *remote, clients int) ([]bench.Node, error) {
	if f.socket != "" {
		return nil, usagef("the bench measures the public API: give --address, not --socket")
	}
	trust, err := f.trust()
	if err != nil {
		return nil, err
	}
	var nodes []bench.Node
	for _, address := range r.addresses {
		c, err := client.New(client.Config{
			Addresses: []string{address}, Key: r.key, TLS: trust, Timeout: f.timeout, Rounds: 1, Connections: clients,
			NoIdempotencyKeys: true, UserAgent: "hydrastore-bench",
		})
		if err != nil {
			return nil, usagef("%v", err)
		}
		nodes = append(nodes, benchNode{c})
	}
	return nodes, nil
}

// benchNode is one node asked by the Go client.
type benchNode struct{ *client.Client }

func (n benchNode) Create(ctx context.Context, user, policy string) (session.Key, error) {
	issued, err := n.Login(ctx, session.Login{User: user, Vouched: true, Policy: policy})
	return issued.Key, err
}

func (n benchNode) Check(ctx context.Context, key session.Key, consistency session.Consistency) error {
	options := []client.Option{client.As(key)}
	if consistency == session.Local {
		options = append(options, client.Local())
	}
	_, err := n.Client.Check(ctx, options...)
	return err
}

func (n benchNode) Logout(ctx context.Context, key session.Key) error {
	_, err := n.Client.Logout(ctx, client.As(key))
	return err
}

// benchAdmin is the admin that prepares and cleans up.
type benchAdmin struct{ *remote }

func (a benchAdmin) PutPolicy(ctx context.Context, name string, change session.PolicyChange) error {
	_, err := a.remote.PutPolicy(ctx, name, change)
	return err
}

func (a benchAdmin) DeletePolicy(ctx context.Context, name string) error {
	_, err := a.remote.DeletePolicy(ctx, name)
	return err
}

func (a benchAdmin) RevokePolicySessions(ctx context.Context, policy string) (int, error) {
	revoked, err := a.RevokeSessions(ctx, session.Filter{Policy: policy})
	return revoked.Count, err
}

func showProgress(w io.Writer, p bench.Progress) {
	if p.Preparing {
		fmt.Fprintf(w, "%4.0fs  preparing: %d of %d sessions\n", p.Elapsed.Seconds(), p.Done, p.Of)
		return
	}
	fmt.Fprintf(w, "%4.0fs  %8.0f/s  %d done", p.Elapsed.Seconds(), p.Rate, p.Done)
	if p.Errors > 0 {
		fmt.Fprintf(w, ", %d failed", p.Errors)
	}
	fmt.Fprintln(w)
}

func reportTable(r bench.Report) *table {
	t := &table{head: []string{"operation", "count", "rate/s", "mean ms", "p50", "p90", "p99", "p99.9", "max", "errors"}}
	milliseconds := func(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) }
	for _, o := range r.Operations {
		l := o.Latency
		t.add(o.Name, strconv.FormatUint(o.Count, 10), strconv.FormatFloat(o.Rate, 'f', 0, 64), milliseconds(l.Mean), milliseconds(l.P50),
			milliseconds(l.P90), milliseconds(l.P99), milliseconds(l.P999), milliseconds(l.Max), errorsText(o.Errors))
	}
	t.foot = fmt.Sprintf("%s, %s reads, %s at once over %s, %.1f s", r.Workload, r.Consistency, plural(r.Clients, "client"), plural(r.Nodes, "node"), r.Seconds)
	return t
}

func errorsText(errors map[session.Code]uint64) string {
	text := ""
	for _, code := range slices.Sorted(maps.Keys(errors)) {
		if text != "" {
			text += " "
		}
		text += fmt.Sprintf("%s:%d", code, errors[code])
	}
	return text
}
