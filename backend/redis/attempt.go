package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/backend/attempt"
	"github.com/hydrastore/hydrastore/session"
)

const (
	mostAttempts = 3
	firstPause   = 20 * time.Millisecond // before the second attempt; four times as long before each further one
	retryAfter   = time.Second           // what clients are told
)

// attempts says how often Redis is asked.
func attempts() attempt.Attempts {
	return attempt.Attempts{Store: "Redis", Most: mostAttempts, Pause: func(n int) time.Duration { return firstPause << (2 * (n - 1)) }}
}

// once is a command that go-redis sends one time; it follows a cluster's redirections all the same.
type once struct{ *goredis.Cmd }

// NoRetry is asked by go-redis.
func (once) NoRetry() bool { return true }

// write runs a script that answers answerDone or answerChanged, again when it is unknown whether it has run: scripts recognise what they
// have done.
func (s *Store) write(ctx context.Context, program script, keys []string, args ...any) error {
	return s.writeBy(ctx, attempts(), program, keys, args...)
}

func (s *Store) writeBy(ctx context.Context, by attempt.Attempts, program script, keys []string, args ...any) error {
	return by.Write(ctx, func() error {
		answer, err := s.run(ctx, program, keys, args...)
		switch {
		case err != nil:
			return judge(err)
		case answer != answerDone:
			return backend.ErrChanged
		}
		return nil
	}, nil)
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
	if s.config.WaitReplicas > 0 {
		return s.sendAndWait(ctx, keys[0], cmd)
	}
	if err := s.client.Process(ctx, once{cmd}); err != nil {
		return 0, err
	}
	return cmd.Int64()
}

// sendAndWait is for all answers: that a record has changed, too, makes its caller look and conclude.
func (s *Store) sendAndWait(ctx context.Context, key string, cmd *goredis.Cmd) (int64, error) {
	v := s.visit()
	_ = v.at(ctx, key).Process(ctx, cmd) // it is queued
	waited := v.exec(ctx)
	if v.err != nil {
		return 0, &dialError{v.err}
	}
	answer, err := cmd.Int64()
	if err == nil && waited != nil {
		return 0, &waitError{cause: waited, did: answer != answerChanged}
	}
	return answer, err
}

// read asks, again where that may help.
func (s *Store) read(ctx context.Context, ask func() error) error {
	return attempts().Read(ctx, func() error {
		if err := ask(); err != nil {
			return judge(err)
		}
		return nil
	})
}

// judge says what an error of Redis, or of the way to it, means.
func judge(err error) *attempt.Fault {
	var dial *dialError
	var reply goredis.Error
	var own *session.Error
	var lag *lagError
	var wait *waitError
	unavailable := &attempt.Fault{Code: session.CodeUnavailable, Message: "Redis cannot be reached", Cause: err, Again: true}
	switch {
	case errors.As(err, &own):
		return &attempt.Fault{Code: own.Code, Message: own.Message, Cause: own.Err}
	case errors.As(err, &wait):
		f := judge(wait.cause)
		f.NotDone, f.Unknown = !wait.did, "the change was made in Redis, and its replicas are not known to have it: it may be undone"
		return f
	case errors.As(err, &lag):
		unavailable.Message = fmt.Sprintf("only %d of the %d replicas that tokenizer.wait_replicas asks for have what is in Redis: "+
			"the others are not connected, or do not keep up", lag.have, lag.want)
		return unavailable
	case errors.As(err, &dial):
		unavailable.NotDone = true
		return unavailable
	case errors.Is(err, goredis.ErrPoolTimeout), errors.Is(err, goredis.ErrPoolExhausted):
		return &attempt.Fault{Code: session.CodeOverloaded, Message: "all connections to Redis are busy", NotDone: true, Cause: err}
	case errors.Is(err, goredis.ErrClosed):
		return &attempt.Fault{Code: session.CodeUnavailable, Message: "the node is stopping", NotDone: true, Cause: err}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		unavailable.Message, unavailable.Again = "Redis did not answer in time", false
		return unavailable
	case errors.As(err, &reply):
		return judgeReply(reply)
	}
	return unavailable // the connection was lost or stayed silent
}

// judgeReply is about errors that Redis itself gives: their first word is their code. Nothing was done then.
func judgeReply(reply goredis.Error) *attempt.Fault {
	word, _, _ := strings.Cut(strings.TrimPrefix(reply.Error(), "-"), " ")
	f := &attempt.Fault{Code: session.CodeUnavailable, NotDone: true, Cause: reply}
	switch word {
	case "OOM":
		f.Code, f.Message = session.CodeOverloaded, "Redis is out of memory"
	case "LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "NOREPLICAS", "MISCONF", "BUSY", "MOVED", "ASK", "UNBLOCKED":
		f.Message, f.Again = "Redis does not serve at the moment ("+word+")", true
	case "NOAUTH", "WRONGPASS", "NOPERM":
		f.Message = "Redis refuses this node (" + word + "): its user, password or permissions are not right"
	default:
		f.Code, f.Message = session.CodeInternal, "Redis gave an error that is not expected"
	}
	return f
}
