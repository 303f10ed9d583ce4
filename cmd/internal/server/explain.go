package server

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"syscall"

	"github.com/hydrastore/hydrastore/cmd/internal/config"
	"github.com/hydrastore/hydrastore/node"
)

// explainListen says which setting wants which address, and why it cannot have it.
func explainListen(setting, address string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s is in use: another program, or another node, listens there; stop it or change %s: %w", address, setting, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%s is no address of this machine: change %s: %w", address, setting, err)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("this user may not listen on %s: take a port above 1023 for %s: %w", address, setting, err)
	}
	return fmt.Errorf("listen on %s (%s): %w", address, setting, err)
}

// explainStart finds out which of the node's addresses or folders an error of the rooms below is about.
func explainStart(c config.Config, err error) error {
	var listening *net.OpError
	if errors.As(err, &listening) && listening.Op == "listen" {
		setting := "peer.listen"
		if listening.Addr != nil && listening.Addr.String() == c.Gossip.Listen {
			setting = "gossip.listen"
		}
		address := c.Peer.Listen
		if listening.Addr != nil {
			address = listening.Addr.String()
		}
		return explainListen(setting, address, err)
	}
	if errors.Is(err, node.ErrAudit) {
		return fmt.Errorf("the audit trail cannot be written to %s (audit.file): %w", c.Audit.File, err)
	}
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("this user may not write to the data folder %s (node.data_dir): %w", c.Node.DataDir, err)
	}
	return err
}
