package server

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/backend/local"
	"github.com/hydrastore/hydrastore/cmd/internal/ownsessions"
	"github.com/hydrastore/hydrastore/node"
)

// ownFolder is where a node keeps its own sessions, in its data folder.
const ownFolder = "own-sessions"

// withOwnSessions lets a node keep its own sessions (user.sessionPersistence: false). The node is given up when it cannot.
func (s *Server) withOwnSessions(n *node.Node, o Options) (_ home, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Shutdown(context.Background()))
		}
	}()
	log := o.Logger.With("store", ownFolder)
	store, err := local.Open(local.Config{Path: filepath.Join(o.Config.Node.DataDir, ownFolder), Logger: log})
	if err != nil {
		return nil, fmt.Errorf("open the home of this node's own sessions (user.sessionPersistence: false): %w", err)
	}
	c := backend.DefaultConfig()
	c.NodeName = o.Config.Node.Name
	c.RequestTimeout = o.Config.Limits.RequestTimeout
	c.Sealing = sealing(o.Config)
	c.Hashing.Params = o.Config.Authenticator.Hashing
	c.Logger = log
	c.Fatal = s.fail
	own, err := ownsessions.New(n, c, store)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return own, nil
}
