package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/hydrastore/hydrastore/session"
)

// secretSource says where a password comes from, in this order: the flag, a file ("-" = standard input), the environment, a
// prompt. The flag shows it to whoever lists processes; the others do not.
type secretSource struct {
	flag   string
	file   string
	env    string // a variable's name
	prompt string
	twice  bool // ask again, for new passwords
}

// read answers the secret. Without a source it is a usageError that names the ways.
func (p *Program) readSecret(s secretSource) (string, error) {
	switch {
	case s.flag != "" && s.file != "":
		return "", usagef("give the password or the file with it, not both")
	case s.flag != "":
		return s.flag, nil
	case s.file != "":
		return p.secretFromFile(s.file)
	}
	if value := p.getenv(s.env); s.env != "" && value != "" {
		return value, nil
	}
	terminal, ok := p.terminal()
	if !ok {
		text := "a password is needed: use --password-file FILE (- reads standard input)"
		if s.env != "" {
			text += " or the variable " + s.env
		}
		return "", &usageError{text: text}
	}
	first, err := p.ask(terminal, s.prompt+": ")
	if err != nil || !s.twice {
		return first, err
	}
	second, err := p.ask(terminal, s.prompt+", again: ")
	if err == nil && first != second {
		return "", usagef("the two passwords are not the same")
	}
	return first, err
}

// ask shows the question on standard error, so that standard output stays clean, and reads without echo.
func (p *Program) ask(terminal *os.File, question string) (string, error) {
	fmt.Fprint(p.Stderr, question)
	answer, err := term.ReadPassword(int(terminal.Fd()))
	fmt.Fprintln(p.Stderr)
	if err != nil {
		return "", fmt.Errorf("read password: %w", err)
	}
	return string(answer), nil
}

// secretFromFile reads the first line.
func (p *Program) secretFromFile(path string) (string, error) {
	in := p.Stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return "", usagef("the password file %s cannot be read: %v", path, errors.Unwrap(err))
		}
		defer f.Close()
		in = f
	}
	line, err := bufio.NewReader(io.LimitReader(in, session.MaxPasswordBytes+2)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read password from %s: %w", path, err)
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return "", usagef("there is no password in the first line of %s", path)
	}
	return line, nil
}
