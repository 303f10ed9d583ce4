package dev

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/cmd/internal/config"
)

// nodes is how many there are: the smallest cluster that survives the loss of one.
const nodes = 3

// DefaultPortBase puts the nodes' APIs on 8700, 8710 and 8720.
const DefaultPortBase = 8700

// Bounds of waiting.
const (
	readyPatience = 60 * time.Second // for the cluster to be born; a busy machine takes seconds
	stopPatience  = 10 * time.Second
)

// The demo user. Its password is no secret: the cluster listens on 127.0.0.1 only and has nothing to keep.
const (
	demoUser     = "demo"
	demoPassword = "demo-password"
	adminUser    = "admin"
)

// Options of Run.
type Options struct {
	Base          config.Config // policies and limits; its addresses and folders are not used
	PortBase      int           // first port; 0 = free ones
	Data          string        // folder to keep; "" = a temporary one that is removed
	AdminPassword string        // "" = one is made and printed
	Once          bool          // end after the checks
	Version       string
	Out           io.Writer
	Logger        *slog.Logger
}

// Validate tells what cannot work, in the words of the command's flags.
func (o Options) Validate() error {
	if o.PortBase < 0 || o.PortBase > 65535-10*nodes {
		return fmt.Errorf("--port-base is %d, must be 0 (free ports) or 1 to %d", o.PortBase, 65535-10*nodes)
	}
	return nil
}

// Run starts the cluster, shows what it does, and stays until ctx ends, or with Once until the checks are done. Its error is
// that of a failed start, of failed checks, or of a node that could not go on.
func Run(ctx context.Context, o Options) (err error) {
	if err := o.Validate(); err != nil {
		return err
	}
	dir, remove, err := dataFolder(o.Data)
	if err != nil {
		return err
	}
	defer remove()
	printed := o.AdminPassword == ""
	if printed {
		o.AdminPassword = strings.ToLower(rand.Text())
	}
	if o.Base.Protocols.LiveJournal && o.Data == "" && o.Base.Sealing.SafePassword == "" && len(o.Base.Sealing.Previous) == 0 {
		o.Base.Sealing = config.Sealing{Credentials: o.Base.Sealing.Credentials, SafePassword: rand.Text(), Params: auth.Params{MemoryKiB: 8, Iterations: 1, Parallelism: 1}} // for challenges; nothing that it seals is kept
	}
	out := &screen{w: o.Out}
	begin := time.Now()
	c, err := start(ctx, o, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	out.nodes(c)
	leader, err := c.waitReady(ctx)
	if err != nil {
		return err
	}
	if err := c.makeUsers(ctx, o.AdminPassword); err != nil {
		return fmt.Errorf("make the users: %w", err)
	}
	out.ready(leader, time.Since(begin)) // a script that waits for this line logs the demo user in next
	out.users(o.AdminPassword, printed)
	checked := c.check(ctx, out)
	if o.Once || ctx.Err() != nil {
		return out.verdict(checked)
	}
	out.repeat(c, o.Data, dir)
	select {
	case <-ctx.Done():
		out.line("stopping")
		return checked
	case err := <-c.failed:
		return err
	}
}

// dataFolder makes the folder; remove does nothing for one that the user named.
func dataFolder(named string) (dir string, remove func(), err error) {
	if named != "" {
		if err := os.MkdirAll(named, 0o700); err != nil {
			return "", nil, fmt.Errorf("make the data folder (--data): %w", err)
		}
		return named, func() {}, nil
	}
	dir, err = os.MkdirTemp("", "hydrastore-dev-")
	if err != nil {
		return "", nil, fmt.Errorf("make a temporary data folder: %w", err)
	}
	return dir, func() { os.RemoveAll(dir) }, nil
}
