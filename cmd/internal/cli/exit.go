package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/hydrastore/hydrastore/cmd/internal/config"
	"github.com/hydrastore/hydrastore/session"
)

// Exit codes, the same for every command. Scripts may rely on them.
const (
	ExitOK              = 0
	ExitFailure         = 1 // asked and refused, or something broke
	ExitUsage           = 2 // the command line, an input or the configuration is wrong; nothing was asked
	ExitUnauthenticated = 3 // no key, a key that is not good, or a wrong password
	ExitUnavailable     = 4 // no node answered, or the cluster cannot serve now; asking again may help
)

// usageError is a mistake on the command line; hint says where to read on.
type usageError struct {
	text string
	hint string
}

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return &usageError{text: fmt.Sprintf(format, args...)} }

// errSaidAlready ends a command with code 1 whose output has said why.
var errSaidAlready = errors.New("see above")

// unhinted is an error after which the usual next step is none: who fails to log in need not be told to log in.
type unhinted struct{ error }

func (e *unhinted) Unwrap() error { return e.error }

// exitCode is the one place where errors become codes.
func exitCode(err error) int {
	var usage *usageError
	var problems config.Problems
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &usage), errors.As(err, &problems):
		return ExitUsage
	case errors.Is(err, context.Canceled):
		return ExitFailure
	}
	switch session.CodeOf(err) {
	case session.CodeInvalid, session.CodeTooLarge:
		return ExitUsage
	case session.CodeUnauthenticated:
		return ExitUnauthenticated
	case session.CodeNoQuorum, session.CodeOverloaded, session.CodeThrottled, session.CodeUnavailable, session.CodeTooStale, session.CodeIndexTimeout, session.CodeOutcomeUnknown:
		return ExitUnavailable
	}
	return ExitFailure
}

// explain writes an error as a person wants to read it, and what to do next where that is known.
func explain(w io.Writer, err error) {
	if err == nil || errors.Is(err, errSaidAlready) {
		return
	}
	var usage *usageError
	var problems config.Problems
	var coded *session.Error
	var plain *unhinted
	var move *moveFailure
	switch {
	case errors.As(err, &move):
		fmt.Fprintf(w, "hydrastore: %v\n", move)
	case errors.As(err, &problems):
		fmt.Fprintf(w, "hydrastore: the configuration is not usable:\n%v\n", problems)
	case errors.As(err, &usage):
		fmt.Fprintf(w, "hydrastore: %s\n", usage.text)
		if usage.hint != "" {
			fmt.Fprintf(w, "%s\n", usage.hint)
		}
	case errors.As(err, &coded):
		fmt.Fprintf(w, "hydrastore: %s\n", sentence(coded))
		if next := nextStep(coded); next != "" && !errors.As(err, &plain) {
			fmt.Fprintf(w, "%s\n", next)
		}
	default:
		fmt.Fprintf(w, "hydrastore: %v\n", err)
	}
}

// sentence is the message with the field in front and the cause behind it: the code is for programs.
func sentence(e *session.Error) string {
	text := e.Message
	if e.Field != "" {
		text = e.Field + ": " + text
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// messageOf is the sentence of a coded error, without its code.
func messageOf(err error) string {
	var coded *session.Error
	if errors.As(err, &coded) {
		return coded.Message
	}
	return err.Error()
}

// nextStep tells what usually helps.
func nextStep(e *session.Error) string {
	switch e.Code {
	case session.CodeUnauthenticated:
		return "Log in with: hydrastore login NAME"
	case session.CodeForbidden:
		return "This needs another role; `hydrastore whoami` shows yours."
	case session.CodeOutcomeUnknown:
		return "It may have been done: look before you do it again."
	case session.CodeThrottled:
		return fmt.Sprintf("The next attempt counts in %v.", e.RetryAfter.Round(time.Second))
	case session.CodeNoQuorum:
		return "`hydrastore cluster members` at a node's --socket shows who is missing."
	case session.CodeUnavailable:
		return "Nothing was changed. Name other nodes with --address a:8700,b:8700 or HYDRASTORE_ADDRESS."
	}
	return ""
}
