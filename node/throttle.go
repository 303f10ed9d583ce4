package node

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// Throttle bounds how often passwords may be tried. Wrong ones are counted in the replicated state.
type Throttle = auth.Throttle

func perUser(t Throttle) fsm.AttemptLimit {
	return fsm.AttemptLimit{Attempts: t.PerUser, Window: t.Window}
}

func perAddress(t Throttle) fsm.AttemptLimit {
	return fsm.AttemptLimit{Attempts: t.PerAddress, Window: t.Window}
}

// turnsFor guesses, by what this node knows, who will judge the password.
func (n *Node) turnsFor(c passwordCheck) *auth.Turns {
	account, _ := n.account(c.user)
	if account.HasPassword || c.digest != nil || len(n.config.Authenticators) == 0 {
		return n.turns
	}
	return n.remote
}

// passwordCheck is one try of a password.
type passwordCheck struct {
	user     string // folded
	password string
	digest   *session.Digest // in place of the password; nil = none
	address  netip.Addr      // invalid = unknown
}

// triedFrom is where a password comes from: the client that a service names, or else the caller. All who log in through a service
// that names none are counted together.
func triedFrom(c session.Call, client netip.Addr) netip.Addr {
	if client.IsValid() {
		return client
	}
	return c.Address
}

// checkedPassword is a password that was right.
type checkedPassword struct {
	auth.Verdict
	account fsm.UserRecord // that it was checked against; zero = none
	attempt *fsmpb.Attempt // to be given back; nil = none was taken
}

// checkPassword wants a context that ends with the request. It counts the attempt in the log, then reads the user and compares, or has it judged outside. A right password's attempt is returned: it
// is given back with the command that the password is good for, or by giveBack. Unknown and disabled users cost what
// others cost. Errors: CodeThrottled and CodeOverloaded, for which nothing was compared, CodeUnauthenticated.
func (n *Node) checkPassword(ctx context.Context, c passwordCheck) (checkedPassword, error) {
	checked, err := n.tryPassword(ctx, c)
	n.metrics.passwordTried(err)
	if session.CodeOf(err) == session.CodeThrottled {
		known, _ := n.account(c.user)
		n.failures.report(known.Name, c.address, fsmpb.LoginFailed_REASON_THROTTLED)
	}
	return checked, err
}

func (n *Node) tryPassword(ctx context.Context, c passwordCheck) (checkedPassword, error) {
	turns := n.turnsFor(c)
	if !turns.Busy(c.address, c.user) { // else the check that goes on is counted, and may be right
		if err := n.foreseeThrottle(ctx, c); err != nil {
			return checkedPassword{}, err
		}
	}
	done, err := turns.Wait(ctx, c.address, c.user)
	if err != nil {
		return checkedPassword{}, asError("wait for a turn", err)
	}
	checked, err := n.haveTurn(ctx, c)
	if err != nil {
		done()
		return checkedPassword{}, err
	}
	// A right password's attempt counts until the request gives it back: the turn ends with the request, or the next one would count beside it.
	context.AfterFunc(ctx, done)
	return checked, nil
}

// haveTurn is tryPassword for whom it is the turn of.
func (n *Node) haveTurn(ctx context.Context, c passwordCheck) (checkedPassword, error) {
	if err := n.foreseeThrottle(ctx, c); err != nil { // of what has come meanwhile
		return checkedPassword{}, err
	}
	if c.digest != nil {
		return n.checkDigest(ctx, c)
	}
	attempt, err := n.takeAttempt(ctx, c)
	if err != nil {
		return checkedPassword{}, err
	}
	user, _ := n.account(c.user)
	verdict, err := n.chain.Authenticate(ctx, c.user, user.PasswordHash, c.password)
	wrong := session.CodeOf(err) == session.CodeUnauthenticated
	switch {
	case wrong, err == nil && user.Disabled:
		n.failures.report(user.Name, c.address, n.whyRefused(user, wrong))
		return checkedPassword{}, session.ErrWrongCredentials()
	case !verdict.Judged && (session.CodeOf(err) == session.CodeUnavailable || session.CodeOf(err) == session.CodeOverloaded):
		// Nobody has looked at the password. Where one directory has refused it and another is down, the attempt counts: with the first
		// alone, anybody could guess on and on.
		n.giveBack(ctx, attempt)
	}
	if err != nil {
		return checkedPassword{}, asError("verify password", err)
	}
	return checkedPassword{Verdict: verdict, account: user, attempt: attempt}, nil
}

// foreseeThrottle refuses what the log would refuse, so that a flood writes nothing. What this node knows may be of a moment ago, and a
// right password at another node may have given its attempt back since: so before it refuses, it reads.
func (n *Node) foreseeThrottle(ctx context.Context, c passwordCheck) error {
	refused := n.throttledHere(c)
	if refused == nil {
		return nil
	}
	if _, err := n.read(ctx, session.Call{}); err != nil {
		return refused
	}
	return n.throttledHere(c)
}

// throttledHere tells whether an attempt would be refused as far as this node knows.
func (n *Node) throttledHere(c passwordCheck) error {
	us, _, heard := n.time.continuation()
	if !heard {
		return nil
	}
	t := n.config.Throttle
	wait, field := n.fsm.AttemptWait(c.address, n.attemptHash(c.user), perUser(t), perAddress(t), us/1000)
	if wait == 0 {
		return nil
	}
	return n.errThrottled(field, wait)
}

// takeAttempt counts the attempt. After it this node has applied at least what was acknowledged before the request began. Without
// limits nothing is counted, and the node reads.
func (n *Node) takeAttempt(ctx context.Context, c passwordCheck) (*fsmpb.Attempt, error) {
	if n.cluster.ClusterID() == "" {
		return nil, errStarting("it does not belong to a cluster yet")
	}
	t := n.config.Throttle
	if t.PerUser == 0 && t.PerAddress == 0 {
		_, err := n.read(ctx, session.Call{})
		return nil, asError("read user", err)
	}
	result, index, err := n.outbox.submit(ctx, &fsmpb.Command{Kind: &fsmpb.Command_TakeAttempt{TakeAttempt: &fsmpb.TakeAttempt{
		Address: addressBytes(c.address), UserHash: uint32(n.attemptHash(c.user)),
		PerUser: perUser(t).Proto(), PerAddress: perAddress(t).Proto(),
	}}})
	if err != nil {
		return nil, err
	}
	if result.Code == fsmpb.Code_CODE_THROTTLED {
		return nil, n.errThrottled(result.Field, milliseconds(result.GetRetryAfterMs()))
	}
	if err := resultError(result, "try a password"); err != nil {
		return nil, err
	}
	if err := n.cluster.WaitApplied(ctx, index); err != nil {
		return nil, asError("read user", err)
	}
	return result.GetAttempt(), nil
}

// giveBack uncounts the attempt of a right password with which nothing could be done. It may fail: then the attempt comes
// back with time.
func (n *Node) giveBack(ctx context.Context, attempt *fsmpb.Attempt) {
	if attempt != nil {
		_, _, _ = n.outbox.submit(ctx, &fsmpb.Command{Kind: &fsmpb.Command_GiveBackAttempt{GiveBackAttempt: &fsmpb.GiveBackAttempt{Attempt: attempt}}})
	}
}

// attemptHash is what the log keeps of the name. People type their password where their name belongs, so it is only
// enough to tell the users of one address apart, and not to find a password by its hash.
func (n *Node) attemptHash(user string) uint16 {
	h := sha256.New()
	session.WriteParts(h, "attempt", n.cluster.ClusterID(), user)
	return binary.BigEndian.Uint16(h.Sum(nil))
}

func (n *Node) errThrottled(by string, wait time.Duration) *session.Error {
	return n.config.Throttle.Refusal(by == "user", wait)
}
