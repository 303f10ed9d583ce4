package server

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// stopPatience bounds everything of a stop after the drain delay: requests under way, writes under way and the
// transfer of leadership. It is above the longest request.
const stopPatience = 15 * time.Second

// reopenPatience bounds the writing of what waits before an audit file is let go of.
const reopenPatience = 10 * time.Second

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
	if o.Config.Audit.ToFile() {
		stopListening := s.reopenOnHangup()
		defer stopListening()
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

// reopenOnHangup opens the audit file again on each SIGHUP, so that whatever rotates files can rename it. Without an audit file the signal
// keeps its meaning: the terminal is gone, the process ends.
func (s *Server) reopenOnHangup() (stop func()) {
	hangups, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(hangups, syscall.SIGHUP)
	var listening sync.WaitGroup
	listening.Go(func() {
		for {
			select {
			case <-hangups:
				s.ReopenAudit()
			case <-done:
				return
			}
		}
	})
	return func() {
		signal.Stop(hangups)
		close(done)
		listening.Wait()
	}
}

// ReopenAudit lets go of an audit file that was renamed, and says in the log how that went.
func (s *Server) ReopenAudit() {
	ctx, cancel := context.WithTimeout(context.Background(), reopenPatience)
	defer cancel()
	if err := s.node.ReopenAudit(ctx); err != nil {
		s.log.Error("the audit file was not opened again; the old one stays in use", "node", s.node.NodeID(), "error", err.Error())
		return
	}
	s.log.Info("the audit file was opened again", "node", s.node.NodeID())
}
