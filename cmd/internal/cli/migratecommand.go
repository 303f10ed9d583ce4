package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/cmd/internal/config"
	"github.com/hydrastore/hydrastore/cmd/internal/server"
	"github.com/hydrastore/hydrastore/session/portable"
)

// linesFile is how names of files end that hold sessions as JSON lines.
const linesFile = ".jsonl"

// progressPause is how often a move says how far it is.
const progressPause = 2 * time.Second

func (p *Program) migrateCommand() *cobra.Command {
	var from, to string
	var dropTarget bool
	c := &cobra.Command{
		Use:   "migrate --from CONFIG|FILE.jsonl --to CONFIG|FILE.jsonl",
		Short: "Move sessions, users and policies to another home",
		Long: `Moves accounts, policies, sessions and the hashes of their keys from one home to another: the keys that clients have stay valid. Each side is
a server's configuration, or a file of JSON lines (.jsonl), which is made with mode 0600.

Where tokenizer.type is local, redis or dynamodb, stop the side's servers first. Where it is raft they must run, one of them on this machine: it is
asked over its own socket (api.socket). The cluster serves nobody while its sessions are moved out, nor after that, until hydrastore cluster open;
and one that they are moved into serves nobody until all has arrived.

The target must be empty. A move that broke off is repeated, and brings the target to what the source has by then. In the end the target is read anew and compared, by count and
by checksum.

Settings in the environment are not read: they could not say which side they mean. What is sealed needs the same tokenizer.safe_password on the new
side. Idempotency-Keys, counts of wrong passwords and attributes in the memory of single nodes are not moved.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if from == "" || to == "" {
				return usagef("migrate: --from and --to are needed")
			}
			return p.migrate(c.Context(), from, to, dropTarget)
		},
	}
	c.Flags().StringVar(&from, "from", "", "configuration of the present home, or a .jsonl file")
	c.Flags().StringVar(&to, "to", "", "configuration of the new home, or a .jsonl file")
	c.Flags().BoolVar(&dropTarget, "drop-target", false, "where --to is a cluster: forget the users and sessions that it holds, or what a move from another home has brought")
	return c
}

func (p *Program) migrate(ctx context.Context, from, to string, dropTarget bool) (err error) {
	source, err := p.side(ctx, from, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.close()) }()
	target, err := p.side(ctx, to, dropTarget)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.close()) }()
	if file, ok := target.Target.(*portable.File); ok {
		if err := file.Free(); err != nil { // before the source is closed for it
			return fmt.Errorf("migrate: %w", err)
		}
	}
	begun := time.Now()
	moved, err := portable.Move(ctx, source.Target, target.Target, p.tellProgress(begun))
	if err != nil {
		return moveFailed(ctx, source, target, err)
	}
	fmt.Fprintf(p.Stdout, "moved and verified: %s, %s, checksum %s\n", plural(moved.Sessions, "session"), plural(moved.Users, "account"), moved.Sum())
	fmt.Fprintf(p.Stderr, "took %v\n", time.Since(begun).Round(time.Millisecond))
	if left, ok := source.cluster(); ok {
		fmt.Fprintf(p.Stderr, "the cluster that was left stays closed, because two homes must not serve the same sessions; where the move is given up: %s\n", left.howToOpen())
	}
	if moved.Ended > 0 {
		fmt.Fprintf(p.Stdout, "left behind: %d sessions whose time was over\n", moved.Ended)
	}
	return nil
}

// tellProgress says from time to time how far a move is, and how fast it goes.
func (p *Program) tellProgress(begun time.Time) func(*portable.Tally) {
	told := begun
	return func(t *portable.Tally) {
		if time.Since(told) < progressPause {
			return
		}
		told = time.Now()
		took := told.Sub(begun)
		fmt.Fprintf(p.Stderr, "moved %s, %s in %v, %.0f sessions/s\n", plural(t.Users, "account"), plural(t.Sessions, "session"), took.Round(time.Second), float64(t.Sessions)/took.Seconds())
	}
}

// side opens one side of a move, which with drop is to forget what it holds.
func (p *Program) side(ctx context.Context, name string, drop bool) (*moveSide, error) {
	notEmptied := usagef("migrate: --drop-target is for clusters; empty %s by its own means", name)
	if filepath.Ext(name) == linesFile && drop {
		return nil, notEmptied
	}
	if filepath.Ext(name) == linesFile {
		file := portable.NewFile(name)
		return &moveSide{file, name, file.Close}, nil
	}
	settings, err := config.Load(config.Input{File: name}) // the environment would speak for both sides
	if err != nil {
		return nil, err
	}
	if settings.OwnSessions {
		return nil, usagef("migrate: in %s each node keeps its own sessions (user.sessionPersistence: false): they are not moved to another home, nor from one. Let the cluster share them first (true), or let clients log in anew", name)
	}
	if settings.Home == config.HomeRaft {
		cluster, err := newClusterSide(settings.API.Socket, drop, func(format string, args ...any) { fmt.Fprintf(p.Stderr, format+"\n", args...) })
		if err != nil {
			return nil, err
		}
		return &moveSide{cluster, name, cluster.Close}, nil
	}
	if drop {
		return nil, notEmptied
	}
	store, err := server.OpenStore(ctx, settings, server.NewLogger(p.Stderr, settings.Log))
	if err != nil {
		return nil, err
	}
	return &moveSide{backend.MoveStore(store), name, store.Close}, nil
}
