package node

import (
	"context"
	"sync"

	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// resealing at once, so that they share log entries.
const resealsAtOnce = 64

// Reseal implements session.Cluster: it looks at one page of sessions and seals anew what an older key has sealed. Whoever changes such a
// value meanwhile wins.
func (n *Node) Reseal(ctx context.Context, c session.Call, from string) (session.Resealed, error) {
	ctx, cancel := n.limit(ctx)
	defer cancel()
	at, err := parseResealCursor(from)
	if err != nil {
		return session.Resealed{}, err
	}
	if _, err := n.authenticateAs(ctx, c, session.RoleAdmin); err != nil {
		return session.Resealed{}, err
	}
	id, key, err := n.sealing.active()
	if err != nil {
		return session.Resealed{}, err
	}
	commands, next, err := n.resealPage(ctx, id, key, at)
	if err != nil {
		return session.Resealed{}, err
	}
	out := session.Resealed{}
	if out.Count, err = n.resealAll(ctx, commands); err != nil {
		return session.Resealed{}, err
	}
	if out = n.resealed(id, out); out.Left > 0 || next.stage == at.stage {
		out.NextCursor = next.String()
	}
	return out, nil
}

// resealPage makes the commands for one page and tells where the next one begins.
func (n *Node) resealPage(ctx context.Context, id uint32, key *auth.SealKey, at resealCursor) ([]*fsmpb.Command, resealCursor, error) {
	if at.stage == resealUsers {
		return n.verifierCommands(id, key, at)
	}
	filter := session.Filter{Permanent: at.stage == resealPermanent}
	records, after, done := n.scan(ctx, filter, at.seq, n.fsm.LastSeq(), session.MaxPageSize)
	next := resealCursor{stage: at.stage, seq: after}
	if done {
		next = resealCursor{stage: at.stage + 1}
	}
	commands, err := n.resealCommands(id, key, records)
	return commands, next, err
}

// resealed completes an answer.
func (n *Node) resealed(id uint32, out session.Resealed) session.Resealed {
	known, _ := n.fsm.SealKeys()
	for _, k := range known {
		if k.ID != id {
			out.Left += k.Uses
		}
	}
	out.Meta = n.writeMeta(n.cluster.AppliedIndex())
	return out
}

// resealCommands makes the commands for those sessions that need one.
func (n *Node) resealCommands(id uint32, key *auth.SealKey, records []fsm.Record) (commands []*fsmpb.Command, err error) {
	for _, r := range records {
		command, err := n.resealCommand(id, key, r)
		if err != nil {
			return nil, err
		}
		if command != nil {
			commands = append(commands, command)
		}
	}
	return commands, nil
}

// resealAll has several commands under way at once and returns how many values they replaced, and the first error.
func (n *Node) resealAll(ctx context.Context, commands []*fsmpb.Command) (count int, err error) {
	var mu sync.Mutex
	var work sync.WaitGroup
	places := make(chan struct{}, resealsAtOnce)
	for _, command := range commands {
		places <- struct{}{}
		work.Go(func() {
			defer func() { <-places }()
			result, index, failed := n.outbox.submit(ctx, command)
			if failed == nil && result.Code != fsmpb.Code_CODE_NOT_FOUND {
				failed = resultError(result, "seal attributes anew")
			}
			if failed == nil {
				failed = asError("seal attributes anew", n.cluster.WaitApplied(ctx, index))
			}
			mu.Lock()
			defer mu.Unlock()
			count += int(result.GetCount())
			if err == nil {
				err = failed
			}
		})
	}
	work.Wait()
	return count, err
}

// resealCommand makes the command that seals a session's attributes anew; nil when there is nothing to do.
func (n *Node) resealCommand(id uint32, key *auth.SealKey, r fsm.Record) (*fsmpb.Command, error) {
	replace := &fsmpb.ReplaceSealed{Id: r.ID[:]}
	for _, a := range r.Attributes {
		with, _, isSealed := fsm.CutSealed(a.Value)
		if !isSealed || with == id {
			continue
		}
		value, err := n.sealing.openOne(with, r.ID, a)
		if err != nil {
			return nil, err
		}
		anew, err := n.sealing.sealOne(id, key, r.ID, a.Name, value)
		if err != nil {
			return nil, err
		}
		replace.Changes = append(replace.Changes, &fsmpb.SealedChange{Name: a.Name, Old: a.Value, New: anew})
	}
	if len(replace.Changes) == 0 {
		return nil, nil
	}
	return &fsmpb.Command{Kind: &fsmpb.Command_ReplaceSealed{ReplaceSealed: replace}}, nil
}
