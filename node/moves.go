package node

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
	"github.com/hydrastore/hydrastore/session/portable"
)

// errClosed refuses what a closed cluster does not do, and one that is being filled. An operator may have nothing but this message: it says what it is, since when,
// and what to do. Of the zero Moving it is not known which of the two it is.
func errClosed(m fsm.Moving) *session.Error {
	text := "this cluster is closed, or is being filled, and serves nobody: sessions are being moved; nothing was changed. Operators: `hydrastore cluster members` tells more"
	since := instant(m.AtMS).Format(time.RFC3339)
	switch m.Phase {
	case fsm.PhaseClosed:
		text = "this cluster has been closed since " + since + " and serves nobody: its sessions are being moved to another home, or were; nothing was changed. " +
			"Operators: repeat `hydrastore migrate`, or, if no other home is to serve them, let this one serve again with `hydrastore cluster open`"
	case fsm.PhaseFilling:
		text = "this cluster has been filled since " + since + " and serves nobody until all of another home's sessions are there; nothing was changed. " +
			"Operators: if the move does not go on, repeat `hydrastore migrate`, which begins it anew"
	}
	return &session.Error{Code: session.CodeUnavailable, RetryAfter: movePause, Message: text}
}

// movePause is what clients are told to wait while sessions are moved: longer than for a leader, for it is not over in a moment.
const movePause = 10 * time.Second

// serves refuses while the cluster is closed, or being filled.
func (n *Node) serves() error {
	if n.fsm.Phase() == fsm.PhaseOpen {
		return nil
	}
	if m := n.fsm.Moving(); m.Phase != fsm.PhaseOpen {
		return errClosed(m)
	}
	return nil
}

// whyClosed is serves for what the log has refused, which this node may not know yet.
func (n *Node) whyClosed() error {
	if err := n.serves(); err != nil {
		return err
	}
	return errClosed(fsm.Moving{})
}

// operate is for steps of a move: it lets operators through, and makes sure that this node knows where the move stands.
func (n *Node) operate(ctx context.Context, c session.Call) (readPoint, error) {
	if !c.Operator {
		if _, err := n.authenticateAs(ctx, c, session.RoleAdmin); err != nil {
			return readPoint{}, err
		}
		return readPoint{}, session.ErrOperatorOnly()
	}
	point, err := n.readAnyway(ctx, session.Call{})
	return point, asError("read", err)
}

// Moving implements session.Moves.
func (n *Node) Moving(ctx context.Context, c session.Call) (session.Moving, error) {
	ctx, cancel := n.limit(ctx)
	defer cancel()
	point, err := n.operate(ctx, c)
	if err != nil {
		return session.Moving{}, err
	}
	return n.moving(n.writeMeta(point.index)), nil
}

func (n *Node) moving(meta session.Meta) session.Moving {
	m := n.fsm.Moving()
	out := session.Moving{Origin: m.Origin, Users: m.Accounts, Sessions: m.Sessions, Meta: meta}
	out.Phase, out.At = phaseOf(m)
	switch m.Phase {
	case fsm.PhaseFilling:
		out.Number = m.Filling
	case fsm.PhaseClosed:
		out.Number = m.Closing
	}
	return out
}

// phaseOf is the phase, and since when it is not open.
func phaseOf(m fsm.Moving) (phase session.MovePhase, since time.Time) {
	if m.Phase != fsm.PhaseOpen {
		since = instant(m.AtMS)
	}
	return session.MovePhase(m.Phase.String()), since
}

// Move implements session.Moves.
func (n *Node) Move(ctx context.Context, c session.Call, s session.MoveStep) (session.Moving, error) {
	ctx, cancel := n.limit(ctx)
	defer cancel()
	if _, err := n.operate(ctx, c); err != nil {
		return session.Moving{}, err
	}
	switch s.Kind {
	case session.MoveClose:
		return n.numbered(ctx, "close the cluster", &fsmpb.Command{Kind: &fsmpb.Command_CloseCluster{CloseCluster: &fsmpb.CloseCluster{}}})
	case session.MoveReopen:
		closing := cmp.Or(s.Filling.Number, n.fsm.Moving().Closing) // one that comes late must not undo a later closing
		return n.step(ctx, "open the cluster", &fsmpb.Command{Kind: &fsmpb.Command_OpenCluster{OpenCluster: &fsmpb.OpenCluster{Closing: closing}}})
	case session.MoveBegin:
		return n.beginMove(ctx, s)
	case session.MoveFinish:
		if err := n.awaitSealKeys(ctx); err != nil {
			return session.Moving{}, err
		}
		return n.step(ctx, "finish the move", &fsmpb.Command{Kind: &fsmpb.Command_FinishImport{FinishImport: &fsmpb.FinishImport{
			Origin: s.Filling.Origin, Filling: s.Filling.Number, Users: uint64(max(0, s.Users)), Sessions: uint64(max(0, s.Sessions)),
		}}})
	}
	return session.Moving{}, session.Invalid("step", "must be %q, %q, %q or %q", session.MoveClose, session.MoveReopen, session.MoveBegin, session.MoveFinish)
}

// beginMove looks, before anything is changed, whether this node could open what will come. The step is for the present history alone: a command that is on
// its way for long, from a node that was cut off, must not forget what a later move has brought.
func (n *Node) beginMove(ctx context.Context, s session.MoveStep) (session.Moving, error) {
	history := n.fsm.History()
	record, err := portable.Parse(s.Cluster)
	if err != nil || record.Cluster == nil {
		return session.Moving{}, session.Invalid("cluster", "is no portable record of a cluster: %v", err)
	}
	if err := n.sealing.trials.fits(ctx, record.Cluster.Seals); err != nil {
		return session.Moving{}, err
	}
	return n.numbered(ctx, "begin the move", &fsmpb.Command{Kind: &fsmpb.Command_BeginImport{BeginImport: beginImport(record.Cluster, s.Restart, history)}})
}

// numbered takes a step that begins something, and answers with its number: another one may have begun since.
func (n *Node) numbered(ctx context.Context, what string, c *fsmpb.Command) (session.Moving, error) {
	result, index, err := n.throughLog(ctx, what, c)
	if err != nil {
		return session.Moving{}, err
	}
	begun := n.moving(n.writeMeta(index))
	begun.Number = cmp.Or(result.GetFilling(), result.GetClosing())
	return begun, nil
}

// step takes a step through the log.
func (n *Node) step(ctx context.Context, what string, c *fsmpb.Command) (session.Moving, error) {
	_, index, err := n.throughLog(ctx, what, c)
	if err != nil {
		return session.Moving{}, err
	}
	return n.moving(n.writeMeta(index)), nil
}

func (n *Node) throughLog(ctx context.Context, what string, c *fsmpb.Command) (*fsmpb.Result, uint64, error) {
	result, index, err := n.outbox.submit(ctx, c)
	if err == nil {
		err = moveError(result, what)
	}
	if err == nil && n.cluster.WaitApplied(ctx, index) != nil {
		err = errOutcomeUnknown()
	}
	return result, index, err
}

// moveError says what stands in the way of a move.
func moveError(r *fsmpb.Result, what string) error {
	conflict := func(text string) error {
		return &session.Error{Code: session.CodeConflict, Field: r.Field, Message: "cannot " + what + ": " + text}
	}
	switch {
	case r.Code == fsmpb.Code_CODE_EXISTS:
		return &session.Error{Code: session.CodeExists, Field: r.Field, Message: "the sessions of that home were moved here before, and the cluster has been in use since"}
	case r.Code == fsmpb.Code_CODE_INVALID && strings.HasSuffix(r.Field, "_ms"):
		return &session.Error{Code: session.CodeInvalid, Field: r.Field, Message: errAhead.Error(), Err: errAhead}
	case r.Code == fsmpb.Code_CODE_TOO_LARGE && r.Field == "seal_keys":
		return session.TooLarge(r.Field, "the old home knows more than %d seal keys, and a cluster keeps no more: bring them down with `hydrastore cluster reseal` there", session.MaxSealKeys)
	case r.Code == fsmpb.Code_CODE_TOO_LARGE && r.Field == "past":
		return session.TooLarge(r.Field, "too many earlier forms of one policy are in force at the old home: a cluster keeps 64; put the sessions under another policy there")
	case r.Code == fsmpb.Code_CODE_INVALID:
		return &session.Error{Code: session.CodeInvalid, Field: r.Field, Message: fmt.Sprintf("a record is not possible, or does not fit the others: it fails at %q", r.Field)}
	case r.Code != fsmpb.Code_CODE_CONFLICT:
		return resultError(r, what)
	}
	switch r.Field {
	case "users", "sessions":
		return conflict("its " + r.Field + " are not as they should be: a cluster that is filled must hold none, and one that is finished just those that were moved")
	case "closed":
		return conflict("the cluster is closed, because its own sessions were moved out")
	case "filling":
		return conflict("the sessions of another home are being moved into the cluster, which serves when all of them are there: repeat that move, if it does not go on")
	case "history":
		return conflict("another move has begun meanwhile, or has ended: of two moves into one cluster the later one goes on")
	case "closing":
		return conflict("another move has closed it meanwhile, and may have moved its sessions: where it is to serve all the same, ask again")
	case "open":
		return conflict("no move into the cluster has begun")
	case "origin":
		return conflict("the sessions of yet another home are being moved into the cluster")
	case "past", "user", "id", "key_hash":
		return conflict("the cluster has one of the records already, and it is another one now: the old home changes while it is read; stop its servers and repeat the move")
	}
	return resultError(r, what)
}

// awaitSealKeys waits until every member can open what has come.
func (n *Node) awaitSealKeys(ctx context.Context) error {
	for {
		err := n.opensWhatCame()
		if err == nil {
			return nil
		}
		select {
		case <-time.After(sealRetry):
		case <-ctx.Done():
			return err
		}
	}
}

// opensWhatCame refuses to serve values that some member could not open.
func (n *Node) opensWhatCame() error {
	known, _ := n.fsm.SealKeys()
	held := n.sealing.heldBy()
	for _, k := range known {
		if k.Uses == 0 {
			continue
		}
		for _, m := range n.cluster.Members() {
			if !slices.Contains(held[m.ID], k.ID) {
				return &session.Error{Code: session.CodeConflict, Field: session.SealsField, Message: fmt.Sprintf("%d values are sealed with a key that node %s has not derived, or cannot: "+
					"give each node the old home's tokenizer.safe_password, or put it into tokenizer.safe_password_previous, and repeat the move", k.Uses, m.Name)}
			}
		}
	}
	return nil
}
