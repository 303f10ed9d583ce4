package server

import (
	"context"
	"fmt"
	"time"
)

// stopPatience bounds everything of a stop after the drain delay: requests under way, writes under way and the
// transfer of leadership. It is above the longest request.
const stopPatience = 15 * time.Second

// Run runs a node until ctx ends, then stops it in good order. It returns an error when the node could not start, cannot go
// on or could not be stopped in time; after one the process must end, because parts of the node may still be running.
// Options.Fatal is called as well when it is set.
func Run(ctx context.Context, o Options) error {
	failed := make(chan error, 1)
	told := o.Fatal
	o.Fatal = func(err error) {
		failed <- err
		if told != nil {
			told(err)
		}
	}
	s, err := Start(ctx, o)
	if err != nil {
		return err
	}
	select {
	case err := <-failed:
		s.log.Error("the node cannot go on and stops at once; its data are safe on disk", "node", s.node.NodeID(), "error", err.Error())
		return fmt.Errorf("the node cannot go on: %w", err)
	case <-ctx.Done():
	}
	s.log.Info("stopping: draining first", "node", s.node.NodeID(), "drain_delay", s.drain.String())
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.drain+stopPatience)
	defer cancel()
	if err := s.Shutdown(stopping); err != nil {
		return fmt.Errorf("stop the node: %w", err)
	}
	s.log.Info("stopped", "node", s.node.NodeID())
	return nil
}
