package node

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"math"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/session"
)

// scanBudget bounds how many sessions one look into the state machine passes, so that a selective filter over millions
// holds up no apply.
const scanBudget = 2_000

// ListSessions implements session.Sessions.
func (n *Node) ListSessions(ctx context.Context, c session.Call, f session.Filter, p session.Page) (session.SessionList, error) {
	ctx, cancel := n.limit(ctx)
	defer cancel()
	limit, err := p.Size()
	if err != nil {
		return session.SessionList{}, err
	}
	after, err := parseCursor(p.Cursor)
	if err != nil {
		return session.SessionList{}, err
	}
	caller, err := n.listing(ctx, c, &f)
	if err != nil {
		return session.SessionList{}, err
	}
	if err := n.useUnlessLocal(ctx, caller); err != nil {
		return session.SessionList{}, err
	}
	records, next, done := n.scan(ctx, f, after, n.fsm.LastSeq(), limit)
	list := session.SessionList{Items: make([]session.Session, len(records)), Meta: n.readMeta(c, caller.point)}
	now := n.nowMS()
	for i, r := range records {
		list.Items[i] = view(r, now)
	}
	if !done {
		list.NextCursor = cursor(next)
	}
	return list, nil
}

// listing authenticates a caller that lists and brings the filter to its canonical form.
func (n *Node) listing(ctx context.Context, c session.Call, f *session.Filter) (*principal, error) {
	var err error
	if f.User != "" {
		if f.User, err = session.FoldUserName(f.User); err != nil {
			return nil, err
		}
	}
	f.ClientAddress = f.ClientAddress.Unmap().WithZone("")
	if f.IdleLongerThan < 0 {
		return nil, session.Invalid("idle_longer_than", "must not be negative")
	}
	p, err := n.authenticate(ctx, c)
	if err != nil {
		return nil, err
	}
	return p, p.mayList(*f)
}

// scan collects up to limit sessions with after < seq ≤ last, in bounded looks.
func (n *Node) scan(ctx context.Context, f session.Filter, after, last uint64, limit int) (found []fsm.Record, next uint64, done bool) {
	next = after
	for !done && len(found) < limit && ctx.Err() == nil {
		var part []fsm.Record
		part, next, done = n.fsm.ListSessions(f, next, last, limit-len(found), scanBudget)
		found = append(found, part...)
	}
	return found, next, done
}

// cursor encodes the place after which a list goes on. It is opaque to clients.
func cursor(seq uint64) string {
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, seq))
}

func parseCursor(text string) (uint64, error) {
	if text == "" {
		return 0, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(raw) != 8 || binary.BigEndian.Uint64(raw) == math.MaxUint64 {
		return 0, session.ErrCursor()
	}
	return binary.BigEndian.Uint64(raw), nil
}
