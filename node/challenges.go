package node

import (
	"context"
	"crypto/sha256"
	"io"
	"time"

	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// IssueChallenge implements session.Proofs. The replicated clock dates the challenge, and a secret signs it that all nodes have, so that any of
// them can check it. It is written to the log once an hour, when it is first needed.
func (n *Node) IssueChallenge(ctx context.Context, _ session.Call) (session.Challenge, error) {
	ctx, cancel := n.limit(ctx)
	defer cancel()
	point, err := n.read(ctx, session.Call{})
	if err != nil {
		return session.Challenge{}, asError("read", err)
	}
	now := time.UnixMilli(max(point.timeMS, n.fsm.ClockMS())).UTC()
	secret, err := n.secretToSign(ctx, auth.ChallengeHour(now))
	if err != nil {
		return session.Challenge{}, err
	}
	c, err := auth.NewChallenge(n.config.Random, secret, now, session.ChallengeLifetime)
	if err != nil {
		return session.Challenge{}, internalError("issue challenge", err)
	}
	return session.Challenge{Text: c.Text, IssuedAt: now.Truncate(time.Second), ExpiresAt: c.ExpiresAt, Meta: n.readMeta(session.Call{}, point)}, nil
}

// secretToSign returns the secret of the present hour, and draws it if the cluster has none, or one that this node cannot open: its safe password was
// changed, and then perhaps nobody can.
func (n *Node) secretToSign(ctx context.Context, hour time.Time) ([]byte, error) {
	secret, err := n.hourSecret(hour)
	if lost := session.CodeOf(err) == session.CodeUnavailable; secret != nil || err != nil && !lost {
		return secret, err
	}
	secret = make([]byte, auth.ChallengeSecretBytes)
	if _, err := io.ReadFull(n.config.Random, secret); err != nil {
		return nil, internalError("draw the secret of challenges", err)
	}
	sealed, err := n.sealing.sealSecret(hour, secret)
	if err != nil {
		return nil, err
	}
	index, err := n.writeAt(ctx, "make a secret of challenges known", &fsmpb.Command{Kind: &fsmpb.Command_PutChallengeSecret{
		PutChallengeSecret: &fsmpb.PutChallengeSecret{HourMs: hour.UnixMilli(), Secret: sealed},
	}})
	if err != nil {
		return nil, err
	}
	if err := n.cluster.WaitApplied(ctx, index); err != nil {
		return nil, errNoQuorum()
	}
	if secret, err = n.hourSecret(hour); secret == nil && err == nil { // another node's, if that came first
		err = errNoQuorum() // the hour has passed meanwhile
	}
	return secret, err
}

// hourSecret opens the secret of an hour; nil when this node knows of none.
func (n *Node) hourSecret(hour time.Time) ([]byte, error) {
	sealed, ok := n.fsm.ChallengeSecret(hour.UnixMilli())
	if !ok {
		return nil, nil
	}
	return n.sealing.openSecret(hour, sealed)
}

// checkDigest is haveTurn for somebody who knows the password and does not send it. A challenge is judged before anything is written for it,
// and used up before anybody looks at the answer to it.
func (n *Node) checkDigest(ctx context.Context, c passwordCheck) (checkedPassword, error) {
	byChallenge := c.digest.MD5 == ""
	var challenge auth.Challenge
	if byChallenge {
		var err error
		if challenge, err = n.judgeChallenge(ctx, c.digest.Challenge); err != nil {
			n.reportChallenge(c, err)
			return checkedPassword{}, err
		}
	}
	attempt, err := n.takeAttempt(ctx, c)
	if err != nil {
		return checkedPassword{}, err
	}
	if byChallenge {
		if err := n.useChallenge(ctx, challenge, attempt); err != nil {
			n.reportChallenge(c, err)
			return checkedPassword{}, err
		}
	}
	user, _ := n.account(c.user)
	right, err := n.rightDigest(user, c.digest)
	switch {
	case err != nil:
		n.giveBack(ctx, attempt) // nobody has looked at it
		return checkedPassword{}, err
	case !right || user.Disabled:
		n.failures.report(user.Name, c.address, whyDigestRefused(user, right))
		return checkedPassword{}, session.ErrWrongCredentials()
	}
	return checkedPassword{Verdict: auth.Verdict{Judged: true}, account: user, attempt: attempt}, nil
}

// reportChallenge tells the audit trail of a challenge that was refused.
func (n *Node) reportChallenge(c passwordCheck, err error) {
	if session.CodeOf(err) == session.CodeUnauthenticated {
		known, _ := n.account(c.user)
		n.failures.report(known.Name, c.address, fsmpb.LoginFailed_REASON_CHALLENGE)
	}
}

func whyDigestRefused(user fsm.UserRecord, right bool) fsmpb.LoginFailed_Reason {
	switch {
	case right:
		return fsmpb.LoginFailed_REASON_DISABLED
	case user.Name == "":
		return fsmpb.LoginFailed_REASON_UNKNOWN_USER
	case len(user.Verifier) == 0:
		return fsmpb.LoginFailed_REASON_NO_VERIFIER
	}
	return fsmpb.LoginFailed_REASON_PASSWORD
}

// judgeChallenge tells whether a challenge is the cluster's own and young enough, by the leader's time.
func (n *Node) judgeChallenge(ctx context.Context, text string) (auth.Challenge, error) {
	c, ok := auth.ParseChallenge(text)
	if !ok {
		return c, session.ErrWrongCredentials()
	}
	point, err := n.read(ctx, session.Call{})
	if err != nil {
		return c, asError("read", err)
	}
	secret, err := n.hourSecret(c.Hour)
	switch {
	case err != nil:
		return c, err
	case secret == nil || !c.Signed(secret):
		return c, session.ErrWrongCredentials()
	case max(point.timeMS, n.fsm.ClockMS()) >= c.ExpiresAt.UnixMilli():
		return c, session.ErrChallengeExpired()
	}
	return c, nil
}

// useChallenge uses a challenge up. The attempt of a client that was only too late is given back; one whose challenge was used before counts.
func (n *Node) useChallenge(ctx context.Context, c auth.Challenge, attempt *fsmpb.Attempt) error {
	hash := sha256.Sum256([]byte(c.Text))
	result, _, err := n.outbox.submit(ctx, &fsmpb.Command{Kind: &fsmpb.Command_UseChallenge{UseChallenge: &fsmpb.UseChallenge{
		Hash: hash[:16], HourMs: c.Hour.UnixMilli(), EndMs: c.ExpiresAt.UnixMilli(),
	}}})
	switch {
	case err != nil:
		return err
	case result.Code == fsmpb.Code_CODE_OK:
		return nil
	case result.Field == fsm.ChallengeExpired:
		n.giveBack(ctx, attempt)
		return session.ErrChallengeExpired()
	case result.Code == fsmpb.Code_CODE_TOO_LARGE:
		n.giveBack(ctx, attempt)
		n.log.Warn("a log-in by challenge was refused: too many used challenges are remembered")
	}
	return session.ErrWrongCredentials()
}
