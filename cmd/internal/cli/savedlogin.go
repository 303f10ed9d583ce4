package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hydrastore/hydrastore/session"
)

// savedLogin is what `login` keeps for later commands, in a file that only its owner can read.
type savedLogin struct {
	User      string   `json:"user"`
	Addresses []string `json:"addresses"`
	Key       string   `json:"key"`
}

// loginFile is HYDRASTORE_LOGIN_FILE, else hydrastore/login.json in the user's configuration folder; "" without a home.
func (p *Program) loginFile() string {
	if path := p.getenv("HYDRASTORE_LOGIN_FILE"); path != "" {
		return path
	}
	dir := p.getenv("XDG_CONFIG_HOME")
	if home := p.getenv("HOME"); dir == "" && home != "" {
		dir = filepath.Join(home, ".config")
	}
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, "hydrastore", "login.json")
}

// loadLogin answers the saved log-in; found is false when there is none.
func (p *Program) loadLogin() (saved savedLogin, found bool, err error) {
	path := p.loginFile()
	if path == "" {
		return saved, false, nil
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return saved, false, nil
	case err != nil:
		return saved, false, fmt.Errorf("read saved log-in: %w", err)
	case info.Mode().Perm()&0o077 != 0:
		return saved, false, usagef("others can read %s, which holds a session key: run chmod 600 %s, or log in again", path, path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return saved, false, fmt.Errorf("read saved log-in: %w", err)
	}
	if err := json.Unmarshal(text, &saved); err != nil {
		return saved, false, usagef("%s is damaged: remove it and log in again", path)
	}
	return saved, true, nil
}

// saveLogin writes a new file and puts it in place of the old one: never half a log-in, never readable by others.
func (p *Program) saveLogin(saved savedLogin) (path string, err error) {
	path = p.loginFile()
	if path == "" {
		return "", usagef("there is no home folder to keep the log-in in: set HYDRASTORE_LOGIN_FILE, or use --issue-key")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fmt.Errorf("save log-in: %w", err)
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), ".login-*") // mode 0600
	if err != nil {
		return "", fmt.Errorf("save log-in: %w", err)
	}
	defer os.Remove(temporary.Name())
	err = writeJSON(temporary, saved)
	if err = errors.Join(err, temporary.Close()); err != nil {
		return "", fmt.Errorf("save log-in: %w", err)
	}
	if err := os.Rename(temporary.Name(), path); err != nil {
		return "", fmt.Errorf("save log-in: %w", err)
	}
	return path, nil
}

// forgetLogin removes the file when it holds that key.
func (p *Program) forgetLogin(key session.Key) error {
	saved, found, err := p.loadLogin()
	if err != nil || !found || saved.Key != key.Reveal() {
		return err
	}
	if err := os.Remove(p.loginFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget log-in: %w", err)
	}
	return nil
}
