package node

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/session"
	"github.com/hydrastore/hydrastore/session/portable"
)

// What stands in a cursor of an export: since when the cluster has been closed, then one of these, which says where it goes on.
const (
	exportPast     = "p:"
	exportUsers    = "u:"
	exportSessions = "s:"
	exportPage     = 256
	exportPasts    = 16 // policies of a page: all that is past of one takes up to 12 KiB
)

// errExportOver refuses the rest of a list whose beginning may not be true any more.
func errExportOver(why string) error {
	return session.Errorf(session.CodeConflict, "the list of records cannot go on, because %s; repeat the move", why)
}

// ExportRecords implements session.Moves.
func (n *Node) ExportRecords(ctx context.Context, c session.Call, cursor string) (session.PortableRecords, error) {
	ctx, cancel := n.limit(ctx)
	defer cancel()
	point, err := n.operate(ctx, c)
	if err != nil {
		return session.PortableRecords{}, err
	}
	m := n.fsm.Moving()
	if m.Phase == fsm.PhaseOpen {
		return session.PortableRecords{}, session.Errorf(session.CodeConflict, "the cluster is open, and what it holds may change: take the step %q first", session.MoveClose)
	}
	page, next, err := n.exportRecords(m, cursor)
	if err != nil {
		return session.PortableRecords{}, err
	}
	out := session.PortableRecords{NextCursor: next, Meta: n.writeMeta(point.index)}
	for _, r := range page {
		text, err := r.Encode()
		if err != nil {
			return session.PortableRecords{}, internalError("write a record", err)
		}
		out.Records = append(out.Records, text)
	}
	return out, nil
}

func (n *Node) exportRecords(m fsm.Moving, cursor string) (page []portable.Record, next string, err error) {
	since := strconv.FormatInt(m.AtMS, 10) + ":"
	after, same := strings.CutPrefix(cursor, since)
	if cursor != "" && !same {
		return nil, "", errExportOver("the cluster was open since it was begun, or filled anew")
	}
	page, next, err = n.exportFrom(m, after)
	switch {
	case errors.Is(err, fsm.ErrExportOver):
		return nil, "", errExportOver("this node was restarted, or restored from a snapshot, since it was begun")
	case err != nil:
		return nil, "", session.Invalid("cursor", "is not one of this list: %v", err)
	case next != "":
		next = since + next
	}
	return page, next, nil
}

// exportFrom is exportRecords with cursors of one time in which the cluster is closed.
func (n *Node) exportFrom(m fsm.Moving, cursor string) (page []portable.Record, next string, err error) {
	seals := sealIDs{m.SealOffset}
	if m.Phase == fsm.PhaseClosed {
		seals = sealIDs{} // they are all this cluster's own by now
		m.SealOffset = 0
	}
	if cursor == "" {
		id := m.Origin
		if id == "" {
			id = n.cluster.ClusterID()
		}
		return n.exportCluster(m, id)[:1], exportPast + "1", nil
	}
	if after, ok := strings.CutPrefix(cursor, exportPast); ok {
		return cutPasts(n.exportCluster(m, m.Origin), after)
	}
	if after, ok := strings.CutPrefix(cursor, exportUsers); ok {
		users, next, err := n.fsm.ExportUsers(after, exportPage)
		for _, u := range users {
			page = append(page, portable.Record{User: seals.portableUser(u)})
		}
		if next == "" {
			return page, exportSessions + "0", err
		}
		return page, exportUsers + next, err
	}
	after, ok := strings.CutPrefix(cursor, exportSessions)
	seq, err := strconv.ParseUint(after, 10, 64)
	if !ok || err != nil {
		return nil, "", fmt.Errorf("%q", cursor)
	}
	sessions, seq, done := n.fsm.ExportSessions(seq, exportPage)
	for _, s := range sessions {
		page = append(page, portable.Record{Session: seals.portableSession(s)})
	}
	if done {
		return page, "", nil
	}
	return page, exportSessions + strconv.FormatUint(seq, 10), nil
}

// exportCluster is the cluster's record, and then what is past of its policies.
func (n *Node) exportCluster(m fsm.Moving, id string) []portable.Record {
	return portableCluster(n.fsm.ExportCluster(), m, id).Records()
}

// cutPasts cuts a page out of the records of a cluster, which do not change while it is closed.
func cutPasts(records []portable.Record, cursor string) (page []portable.Record, next string, err error) {
	from, err := strconv.Atoi(cursor)
	if err != nil || from < 1 || from > len(records) {
		return nil, "", fmt.Errorf("%q", cursor)
	}
	to := min(from+exportPasts, len(records))
	if to == len(records) {
		return records[from:], exportUsers, nil
	}
	return records[from:to], exportPast + strconv.Itoa(to), nil
}
