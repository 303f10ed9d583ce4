package redis

import (
	"context"
	"errors"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/session"
)

const (
	attempts   = 3
	firstPause = 20 * time.Millisecond // before the second attempt; four times as long before each further one
	retryAfter = time.Second           // what clients are told
)

// once is a command that go-redis sends one time; it follows a cluster's redirections all the same.
type once struct{ *goredis.Cmd }

// NoRetry is asked by go-redis.
func (once) NoRetry() bool { return true }

// write runs a script that answers answerDone or answerChanged, again when it is unknown whether it has run: scripts recognise what they
// have done. What was done and then changed by others cannot be told from what was not done; then the outcome is unknown.
func (s *Store) write(ctx context.Context, program script, keys []string, args ...any) error {
	unknown := false
	for attempt := 1; ; attempt++ {
		answer, err := s.run(ctx, program, keys, args...)
		switch {
		case err == nil && answer == answerDone:
			return nil
		case err == nil && !unknown:
			return backend.ErrChanged
		case err == nil:
			return fault{cause: errors.New("the record has changed since the answer was lost")}.err(true)
		}
		f := judge(err)
		unknown = unknown || !f.notDone
		if attempt == attempts || !f.again || !pause(ctx, attempt) {
			return f.err(unknown)
		}
	}
}

// run sends a script by its hash, and whole to a server that does not know it.
func (s *Store) run(ctx context.Context, program script, keys []string, args ...any) (int64, error) {
	answer, err := s.send(ctx, "evalsha", program.hash, keys, args)
	if goredis.HasErrorPrefix(err, "NOSCRIPT") {
		answer, err = s.send(ctx, "eval", program.text, keys, args)
	}
	return answer, err
}

func (s *Store) send(ctx context.Context, command, program string, keys []string, args []any) (int64, error) {
	all := []any{command, program, len(keys)}
	for _, key := range keys {
		all = append(all, key)
	}
	cmd := goredis.NewCmd(ctx, append(all, args...)...)
	cmd.SetFirstKeyPos(3)
	if err := s.client.Process(ctx, once{cmd}); err != nil {
		return 0, err
	}
	return cmd.Int64()
}

// read asks again where that may help; reading twice does no harm.
func (s *Store) read(ctx context.Context, ask func() error) error {
	for attempt := 1; ; attempt++ {
		err := ask()
		if err == nil {
			return nil
		}
		f := judge(err)
		if attempt == attempts || !f.again || !pause(ctx, attempt) {
			return f.err(false)
		}
	}
}

func pause(ctx context.Context, attempt int) bool {
	t := time.NewTimer(firstPause << (2 * (attempt - 1)))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// fault is what an error of Redis or of the way to it means.
type fault struct {
	code    session.Code // when certainly nothing was done
	message string
	notDone bool // the command did nothing
	again   bool // asking again soon may help
	cause   error
}

// err is what the store's caller gets; unknown = a write may have been done.
func (f fault) err(unknown bool) error {
	if unknown {
		return &session.Error{Code: session.CodeOutcomeUnknown, Message: "Redis did not answer; the change may have been done", RetryAfter: retryAfter, Err: f.cause}
	}
	e := &session.Error{Code: f.code, Message: f.message, RetryAfter: retryAfter, Err: f.cause}
	if e.Code == session.CodeInternal {
		e.RetryAfter = 0
	}
	return e
}

func judge(err error) fault {
	var dial *dialError
	var reply goredis.Error
	var own *session.Error
	unavailable := fault{code: session.CodeUnavailable, message: "Redis cannot be reached", cause: err, again: true}
	switch {
	case errors.As(err, &own):
		return fault{code: own.Code, message: own.Message, cause: own.Err}
	case errors.As(err, &dial):
		unavailable.notDone = true
		return unavailable
	case errors.Is(err, goredis.ErrPoolTimeout), errors.Is(err, goredis.ErrPoolExhausted):
		return fault{code: session.CodeOverloaded, message: "all connections to Redis are busy", notDone: true, cause: err}
	case errors.Is(err, goredis.ErrClosed):
		return fault{code: session.CodeUnavailable, message: "the node is stopping", notDone: true, cause: err}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		unavailable.message, unavailable.again = "Redis did not answer in time", false
		return unavailable
	case errors.As(err, &reply):
		return judgeReply(reply)
	}
	return unavailable // the connection was lost or stayed silent
}

// judgeReply is about errors that Redis itself gives: their first word is their code. Nothing was done then.
func judgeReply(reply goredis.Error) fault {
	word, _, _ := strings.Cut(strings.TrimPrefix(reply.Error(), "-"), " ")
	f := fault{code: session.CodeUnavailable, notDone: true, cause: reply}
	switch word {
	case "OOM":
		f.code, f.message = session.CodeOverloaded, "Redis is out of memory"
	case "LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "NOREPLICAS", "MISCONF", "BUSY", "MOVED", "ASK":
		f.message, f.again = "Redis does not serve at the moment ("+word+")", true
	case "NOAUTH", "WRONGPASS", "NOPERM":
		f.message = "Redis refuses this node (" + word + "): its user, password or permissions are not right"
	default:
		f.code, f.message = session.CodeInternal, "Redis gave an error that is not expected"
	}
	return f
}
