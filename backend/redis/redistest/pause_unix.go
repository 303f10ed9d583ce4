//go:build unix

package redistest

import (
	"errors"
	"syscall"
)

// Pause makes the server silent: it neither answers nor closes connections until Continue.
func (s *Server) Pause() error { return s.signal(syscall.SIGSTOP) }

// Continue is Pause undone.
func (s *Server) Continue() error { return s.signal(syscall.SIGCONT) }

func (s *Server) signal(what syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return errors.New("the server does not run")
	}
	return s.process.Process.Signal(what)
}
