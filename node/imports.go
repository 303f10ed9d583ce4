package node

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
	"github.com/hydrastore/hydrastore/session/portable"
)

// ImportRecords implements session.Moves.
func (n *Node) ImportRecords(ctx context.Context, c session.Call, f session.Filling, records []json.RawMessage) (session.Moving, error) {
	ctx, cancel := n.limit(ctx)
	defer cancel()
	if _, err := n.operate(ctx, c); err != nil {
		return session.Moving{}, err
	}
	if len(records) > session.MaxImportRecords {
		return session.Moving{}, session.TooLarge("items", "at most %d records at once", session.MaxImportRecords)
	}
	commands, err := n.importCommands(f, records)
	if err != nil {
		return session.Moving{}, err
	}
	moving := n.moving(n.writeMeta(n.cluster.AppliedIndex()))
	for _, command := range commands { // one after the other: sessions come in their order
		if moving, err = n.step(ctx, "bring records", command); err != nil {
			return session.Moving{}, tellAhead(err, records, n.fsm.ClockMS())
		}
	}
	return moving, nil
}

// importCommands makes commands that are not too large for the log.
func (n *Node) importCommands(f session.Filling, records []json.RawMessage) ([]*fsmpb.Command, error) {
	b := &importBuilder{filling: f, most: n.config.Limits.BatchBytes / 2, seals: sealIDs{n.fsm.Moving().SealOffset}}
	for i, text := range records {
		r, err := portable.Parse(text)
		if err == nil {
			err = b.add(r)
		}
		if err != nil {
			return nil, session.Invalid("items", "record %d: %v", i+1, err)
		}
	}
	b.flush()
	return b.commands, nil
}

// importBuilder gathers records of one kind into a command.
type importBuilder struct {
	filling  session.Filling
	most     int // bytes of one command
	seals    sealIDs
	pasts    []*fsmpb.MovedPast
	users    []*fsmpb.MovedUser
	sessions []*fsmpb.MovedSession
	bytes    int
	commands []*fsmpb.Command
}

func (b *importBuilder) add(r portable.Record) error {
	switch {
	case r.Past != nil:
		p := movedPast(r.Past)
		b.room(p.SizeVT(), len(b.users)+len(b.sessions) > 0)
		b.pasts = append(b.pasts, p)
	case r.User != nil:
		u, err := b.seals.movedUser(r.User)
		if err != nil {
			return err
		}
		b.room(u.SizeVT(), len(b.pasts)+len(b.sessions) > 0)
		b.users = append(b.users, u)
	case r.Session != nil:
		s, err := b.seals.movedSession(r.Session)
		if err != nil {
			return err
		}
		b.room(s.SizeVT(), len(b.pasts)+len(b.users) > 0)
		b.sessions = append(b.sessions, s)
	default:
		return fmt.Errorf("a cluster's record begins a move, and comes by step %q", session.MoveBegin)
	}
	return nil
}

// room makes room for a record of that size, which with other is of another kind than those before it.
func (b *importBuilder) room(size int, other bool) {
	const around = 32 // tag and length of a record, and of the command; the number of the filling
	if other || b.bytes+size+around > b.most-around-fsm.MaxOriginBytes {
		b.flush()
	}
	b.bytes += size + around
}

func (b *importBuilder) flush() {
	origin, number := b.filling.Origin, b.filling.Number
	switch {
	case len(b.pasts) > 0:
		b.commands = append(b.commands, &fsmpb.Command{Kind: &fsmpb.Command_ImportPast{ImportPast: &fsmpb.ImportPast{Origin: origin, Filling: number, Policies: b.pasts}}})
	case len(b.users) > 0:
		b.commands = append(b.commands, &fsmpb.Command{Kind: &fsmpb.Command_ImportUsers{ImportUsers: &fsmpb.ImportUsers{Origin: origin, Filling: number, Users: b.users}}})
	case len(b.sessions) > 0:
		b.commands = append(b.commands, &fsmpb.Command{Kind: &fsmpb.Command_ImportSessions{ImportSessions: &fsmpb.ImportSessions{Origin: origin, Filling: number, Sessions: b.sessions}}})
	}
	b.pasts, b.users, b.sessions, b.bytes = nil, nil, nil, 0
}
