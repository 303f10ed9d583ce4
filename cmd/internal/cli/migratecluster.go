package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/hydrastore/hydrastore/client"
	"github.com/hydrastore/hydrastore/cmd/internal/spool"
	"github.com/hydrastore/hydrastore/session"
	"github.com/hydrastore/hydrastore/session/portable"
)

// importBytes is how much one request brings at once, below what a node's API takes.
const importBytes = 512 << 10

// sealPatience is how long a move waits for nodes that derive the keys of sealed values, at its begin and again before its end: 16 keys, with as many
// passwords to try, take seconds, and on slow machines minutes. Somebody who has forgotten a password can give it to the node meanwhile.
const sealPatience = 5 * time.Minute

// clusterSide is a cluster as one side of a move, through the operator's socket of one of its nodes, which must run.
type clusterSide struct {
	node    *client.Client
	socket  string
	restart bool // forget what is there
	say     func(format string, args ...any)

	closing  bool      // it is the source, and it was asked to close
	served   bool      // until then it was open
	closedAt time.Time // since when it has been closed; the zero time = that is not known
	closedAs uint64    // which of all closings this one is

	beginning bool // it is the target, and it was asked to begin
	filling   session.Filling
	sessions  *spool.Spool // a cluster takes them in the order of their creation, which no source keeps
	moved     *portable.Tally
}

func newClusterSide(socket string, restart bool, say func(string, ...any)) (*clusterSide, error) {
	node, err := client.New(client.Config{Socket: socket, UserAgent: "hydrastore-cli"})
	if err != nil {
		return nil, err
	}
	return &clusterSide{node: node, socket: socket, restart: restart, say: say}, nil
}

// Close gives the side up.
func (s *clusterSide) Close() error {
	s.node.Close()
	if s.sessions == nil {
		return nil
	}
	return s.sessions.Close()
}

// Each implements portable.Source. A cluster that is the source is closed first, and stays so: from there on nothing in it changes.
func (s *clusterSide) Each(ctx context.Context, f func(portable.Record) error) error {
	if !s.beginning {
		if err := s.shut(ctx); err != nil {
			return err
		}
	}
	for cursor, more := "", true; more; more = cursor != "" {
		page, err := s.node.ExportRecords(ctx, cursor)
		if err != nil {
			return s.explain("read it", err)
		}
		for _, text := range page.Records {
			r, err := portable.Parse(text)
			if err != nil {
				return err
			}
			if err := f(r); err != nil {
				return err
			}
		}
		cursor = page.NextCursor
	}
	return nil
}

// shut closes the cluster, and says so before it does: whatever becomes of this process, its screen tells how the cluster comes to serve again.
func (s *clusterSide) shut(ctx context.Context) error {
	before, err := s.reach(ctx)
	if err != nil {
		return err
	}
	s.served = before.Phase == session.MoveOpen
	s.say("closing the cluster at %s: from here on it serves nobody. Where the move is given up: %s", s.socket, s.howToOpen())
	s.closing = true
	moving, err := s.node.Move(ctx, session.MoveStep{Kind: session.MoveClose})
	if err != nil {
		return s.explain("close it", err)
	}
	s.closedAt, s.closedAs = moving.At, moving.Number
	return nil
}

// reopen lets the cluster serve again which this move has closed, where nothing has arrived anywhere. Where another move has closed it since, that one may be done.
func (s *clusterSide) reopen(ctx context.Context) {
	if !s.served || s.closedAt.IsZero() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastLook)
	defer cancel()
	_, _ = s.node.Move(ctx, session.MoveStep{Kind: session.MoveReopen, Filling: session.Filling{Number: s.closedAs}}) // leftSource asks what it is now
}

// reach makes sure that the cluster can be asked, before anything is: where it cannot, nothing was changed.
func (s *clusterSide) reach(ctx context.Context) (session.Moving, error) {
	now, err := s.node.Moving(ctx)
	return now, s.explain("ask the cluster", err)
}

func (s *clusterSide) howToOpen() string { return "hydrastore cluster open --socket " + s.socket }

// Unused implements portable.Watched.
func (s *clusterSide) Unused(ctx context.Context) error {
	moving, err := s.node.Moving(ctx)
	if err != nil {
		return s.explain("ask whether it is still closed", err)
	}
	if moving.Phase != session.MoveClosed || !moving.At.Equal(s.closedAt) {
		return errors.New("the cluster that is left was open meanwhile: what arrived is not used, for log-outs since then would come undone; repeat the move")
	}
	return nil
}

// Begin implements portable.Target.
func (s *clusterSide) Begin(ctx context.Context, c *portable.Cluster) (time.Time, error) {
	records := c.Records()
	text, err := records[0].Encode()
	if err != nil {
		return time.Time{}, err
	}
	if _, err := s.reach(ctx); err != nil {
		return time.Time{}, err
	}
	s.beginning = true
	moving, err := s.askAgain(ctx, session.CodeUnavailable, session.MoveStep{Kind: session.MoveBegin, Cluster: text, Restart: s.restart})
	if session.CodeOf(err) == session.CodeExists {
		return time.Time{}, errMovedBefore
	}
	if err != nil {
		return time.Time{}, s.explain("begin", err)
	}
	s.filling = session.Filling{Origin: c.ID, Number: moving.Number}
	if s.sessions, err = spool.New(); err != nil {
		return time.Time{}, err
	}
	return moving.At, s.bring(ctx, records[1:])
}

// askAgain takes a step, and takes it again while nodes derive the keys of sealed values, which it is told with this code.
func (s *clusterSide) askAgain(ctx context.Context, deriving session.Code, step session.MoveStep) (session.Moving, error) {
	ctx, cancel := context.WithTimeout(ctx, sealPatience)
	defer cancel()
	for {
		moving, err := s.node.Move(ctx, step)
		var told *session.Error
		if !errors.As(err, &told) || told.Code != deriving || told.Field != session.SealsField {
			return moving, err
		}
		s.say("waiting: %s", told.Message)
		select {
		case <-time.After(progressPause):
		case <-ctx.Done():
			return moving, err
		}
	}
}

// errMovedBefore is told where a move was verified and finished before.
var errMovedBefore = errors.New("this home was moved into the cluster before, and what arrived was verified: the cluster serves it")

// Take implements portable.Target.
func (s *clusterSide) Take(ctx context.Context, page []portable.Record) error {
	if page[0].Session == nil {
		return s.bring(ctx, page)
	}
	for _, r := range page {
		if err := s.sessions.Add(r); err != nil {
			return err
		}
	}
	return nil
}

// Done implements portable.Target: now the order of the sessions is known.
func (s *clusterSide) Done(ctx context.Context, t *portable.Tally) error {
	s.moved = t
	brought, told := 0, time.Now()
	err := s.sessions.InOrder(portable.Page, func(page []portable.Record) error {
		brought += len(page)
		if time.Since(told) >= progressPause {
			told = time.Now()
			s.say("%d of %d sessions are in the cluster's log", brought, t.Sessions)
		}
		return s.bring(ctx, page)
	})
	return errors.Join(err, s.sessions.Close())
}

// bring sends a page, in requests that are not too long.
func (s *clusterSide) bring(ctx context.Context, page []portable.Record) error {
	var texts []json.RawMessage
	bytes := 0
	send := func() error {
		if len(texts) == 0 {
			return nil
		}
		_, err := s.node.ImportRecords(ctx, s.filling, texts)
		texts, bytes = texts[:0], 0
		return s.explain("bring records", err)
	}
	for _, r := range page {
		text, err := r.Encode()
		if err != nil {
			return err
		}
		if bytes+len(text) > importBytes {
			if err := send(); err != nil {
				return err
			}
		}
		texts, bytes = append(texts, text), bytes+len(text)
	}
	return send()
}

// Verified implements portable.Target: the cluster serves from here on.
func (s *clusterSide) Verified(ctx context.Context) error {
	step := session.MoveStep{Kind: session.MoveFinish, Filling: s.filling, Users: s.moved.Users, Sessions: s.moved.Sessions}
	_, err := s.askAgain(ctx, session.CodeConflict, step)
	if err == nil || s.serves(ctx) {
		return nil
	}
	return s.explain("finish", err)
}

// serves tells whether all that was moved is in use: a step may have been taken whose answer did not come.
func (s *clusterSide) serves(ctx context.Context) bool {
	now, err := s.now(ctx)
	return err == nil && now.Phase == session.MoveOpen && now.Origin == s.filling.Origin
}

// now asks where the move stands, also for somebody who has just been interrupted.
func (s *clusterSide) now(ctx context.Context) (session.Moving, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastLook)
	defer cancel()
	return s.node.Moving(ctx)
}

// AbridgesPast implements portable.Abridging.
func (s *clusterSide) AbridgesPast() {}

// explain says what the cluster answered in terms of a move: it is not about the command line, nor are other nodes to be asked.
func (s *clusterSide) explain(what string, err error) error {
	var e *session.Error
	var unconnected *net.OpError
	switch {
	case !errors.As(err, &e):
		return err
	case errors.As(e.Err, &unconnected):
		return fmt.Errorf("%s: the cluster cannot be asked: a server of it must run on this machine, with its socket at %s (api.socket): %w", what, s.socket, e.Err)
	}
	return fmt.Errorf("%s: %s", what, e.Message)
}
