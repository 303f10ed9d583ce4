package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// operatorSocketMode lets the node's own user in, and nobody else.
const operatorSocketMode = 0o600

// ListenOperator listens on a Unix socket at path that only this user can open, in the place of one that a dead process
// left behind. Closing the listener removes it.
//
// The socket is made in a folder that is closed to others and moved to its path with its mode set: there is no moment
// at which anybody else could connect.
func ListenOperator(path string) (net.Listener, error) {
	if err := checkSocketPath(path); err != nil {
		return nil, err
	}
	closed, err := os.MkdirTemp(filepath.Dir(path), ".s") // 0700; short, for a socket's path has at most 107 bytes
	if err != nil {
		return nil, fmt.Errorf("make the operator's socket: %w", err)
	}
	defer os.RemoveAll(closed)
	made := filepath.Join(closed, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: made, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("make the operator's socket: %w", err)
	}
	l.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(made, operatorSocketMode), os.Rename(made, path)); err != nil {
		return nil, errors.Join(fmt.Errorf("make the operator's socket: %w", err), l.Close())
	}
	return &operatorListener{UnixListener: l, path: path}, nil
}

// checkSocketPath refuses to take the path from something that is no socket, or from a process that answers there.
func checkSocketPath(path string) error {
	found, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("look at the operator's socket: %w", err)
	case found.Mode().Type() != os.ModeSocket:
		return fmt.Errorf("%s is no socket: move it away, or choose another path for the operator's socket", path)
	}
	return checkLeftBehind(path)
}

// checkLeftBehind wants proof that nobody listens. A live process whose queue is full, or whose socket this user may not open,
// does not answer either.
func checkLeftBehind(path string) error {
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(context.Background(), "unix", path)
	switch {
	case err == nil:
		_ = conn.Close()
		return fmt.Errorf("another process answers on %s: is this node running already?", path)
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, os.ErrNotExist):
		return nil
	}
	return fmt.Errorf("cannot tell whether a process listens on %s; if none does, remove it: %w", path, err)
}

// operatorListener removes its socket, unless somebody else has put theirs there meanwhile.
type operatorListener struct {
	*net.UnixListener
	path string
}

// Close stops listening and removes the socket.
func (l *operatorListener) Close() error {
	err := l.UnixListener.Close()
	if err == nil && checkSocketPath(l.path) == nil {
		_ = os.Remove(l.path) // one that is left behind is taken over by the next process
	}
	return err
}
