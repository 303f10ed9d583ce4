package node

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// Rotate implements session.Sessions.
func (n *Node) Rotate(ctx context.Context, c session.Call) (session.Issued, error) {
	ctx, cancel := n.limit(ctx)
	defer cancel()
	c.Consistency, c.MinIndex = session.Linearizable, ""
	t, err := n.target(ctx, c)
	if err != nil {
		return session.Issued{}, err
	}
	return n.rotate(ctx, t, nil)
}

// Reauthenticate implements session.Sessions.
func (n *Node) Reauthenticate(ctx context.Context, c session.Call, p session.Proof) (session.Issued, error) {
	ctx, cancel := n.limit(ctx)
	defer cancel()
	if len(p.Password) > session.MaxPasswordBytes {
		return session.Issued{}, session.TooLarge("password", "a password has at most %d bytes", session.MaxPasswordBytes)
	}
	c.Consistency, c.MinIndex = session.Linearizable, ""
	t, err := n.target(ctx, c)
	if err != nil {
		return session.Issued{}, err
	}
	if p.Vouched {
		if !t.byService {
			return session.Issued{}, session.ErrVouchNotByBearer()
		}
		return n.rotate(ctx, t, &fsmpb.Reauthentication{Vouched: true})
	}
	checked, err := n.checkPassword(ctx, passwordCheck{user: t.record.User, password: p.Password, address: triedFrom(c, t.presented.Address)})
	if err != nil {
		return session.Issued{}, err
	}
	defer n.giveBack(ctx, checked.attempt)
	return n.rotate(ctx, t, &fsmpb.Reauthentication{
		UserVersion: checked.account.Version, Outside: checked.Outside, Roles: grantedRoles(checked.Verdict),
	})
}

// rotate draws a successor and proposes it. Of several that are proposed at once the first in the log counts: the others get that
// one, sealed under the key that they present.
func (n *Node) rotate(ctx context.Context, t *target, proof *fsmpb.Reauthentication) (session.Issued, error) {
	old := t.presented.Key
	successor, err := old.NewSuccessor(n.config.Random)
	if err != nil {
		return session.Issued{}, internalError("rotate key", err)
	}
	sealed, err := old.SealSuccessor(successor)
	if err != nil {
		return session.Issued{}, internalError("rotate key", err)
	}
	hash, next := old.Hash(), successor.Hash()
	result, index, err := n.outbox.submit(ctx, &fsmpb.Command{Kind: &fsmpb.Command_RotateSession{RotateSession: &fsmpb.RotateSession{
		KeyHash: hash[:], Address: addressBytes(t.presented.Address), Authority: t.authority(),
		SuccessorHash: next[:], SealedSuccessor: sealed, Reauthentication: proof, Judged: true,
	}}})
	if err != nil {
		return session.Issued{}, err
	}
	if err := rotateError(result); err != nil {
		return session.Issued{}, err
	}
	if len(result.Successors) > 0 {
		if successor, err = follow(old, result.Successors); err != nil {
			return session.Issued{}, internalError("rotate key", err)
		}
	}
	r := recordFrom(result.GetSession(), fsm.Record{})
	issued := session.Issued{Key: successor.WithNumber(r.Number), Session: view(r, n.nowMS()), Attributes: n.attributesOf(r), Meta: n.writeMeta(index)}
	if t.maySeeSealed() {
		if issued.Sealed, err = n.sealing.open(r.ID, r.Attributes); err != nil {
			// The key was issued and is shown nowhere else: better without the sealed attributes than without it.
			n.log.Warn("sealed attributes do not open", slog.String("session", r.ID.String()), slog.Any("error", err))
		}
	}
	return issued, nil
}

// follow opens one key after the other, up to the present one.
func follow(k session.Key, successors []*fsmpb.Successor) (session.Key, error) {
	for _, s := range successors {
		var hash session.KeyHash
		if copy(hash[:], s.Hash) != len(hash) {
			return session.Key{}, fmt.Errorf("open successor: its hash has %d bytes", len(s.Hash))
		}
		var err error
		if k, err = k.OpenSuccessor(s.Sealed, hash); err != nil {
			return session.Key{}, err
		}
	}
	return k, nil
}

// rotateError translates the refusals of a rotation.
func rotateError(r *fsmpb.Result) error {
	switch {
	case r.Code == fsmpb.Code_CODE_CONFLICT && r.Field == "key":
		return session.ErrKeyRotated()
	case r.Code == fsmpb.Code_CODE_CONFLICT && r.Field == "rotate":
		return session.ErrRotatedTooOften()
	case r.Code == fsmpb.Code_CODE_CONFLICT && r.Field == "user":
		return session.ErrUserChanged()
	case r.Code == fsmpb.Code_CODE_FORBIDDEN && r.Field == "user":
		return session.ErrVouchForPowerful()
	}
	return resultError(r, "rotate this session's key")
}

// recentlyProved judges MaxAuthAge at the time that the read knows.
func (n *Node) recentlyProved(c session.Call, t *target) error {
	now := max(t.principal.point.timeMS, n.fsm.ClockMS())
	if c.MaxAuthAge <= 0 || milliseconds(now-t.record.AuthMS) <= c.MaxAuthAge {
		return nil
	}
	return session.ErrReauthenticate()
}
