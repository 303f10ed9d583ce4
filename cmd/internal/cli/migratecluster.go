package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hydrastore/hydrastore/client"
	"github.com/hydrastore/hydrastore/cmd/internal/spool"
	"github.com/hydrastore/hydrastore/session"
	"github.com/hydrastore/hydrastore/session/portable"
)

// importBytes is how much one request brings at once, below what a node's API takes.
const importBytes = 512 << 10

// clusterSide is a cluster as one side of a move, through the operator's socket of one of its nodes, which must run.
type clusterSide struct {
	node    *client.Client
	socket  string
	restart bool // forget what is there
	say     func(format string, args ...any)

	closedAt time.Time // since when it has been closed, where it is the source; the zero time = it is not, as far as is known

	filling  bool // it is the target
	origin   string
	sessions *spool.Spool // a cluster takes them in the order of their creation, which no source keeps
	moved    *portable.Tally
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
	if !s.filling {
		moving, err := s.node.Move(ctx, session.MoveStep{Kind: session.MoveClose})
		if err != nil {
			return s.explain("close it", err)
		}
		s.closedAt = moving.At
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

// leftFilling adds to why a move failed how its target comes to serve.
func (s *clusterSide) leftFilling(err error) error {
	if !s.filling {
		return err
	}
	return fmt.Errorf("%w; the cluster that is filled serves nobody until a move into it is complete: where the old home was in use since the first try, --drop-target begins anew", err)
}

// leftClosed adds to why a move failed that the source serves nobody.
func (s *clusterSide) leftClosed(err error) error {
	if s.closedAt.IsZero() {
		return err
	}
	return fmt.Errorf("%w; the cluster that was to be left is closed and serves nobody: if it is to serve again, and no other home does, hydrastore cluster open --socket %s", err, s.socket)
}

// Begin implements portable.Target.
func (s *clusterSide) Begin(ctx context.Context, c *portable.Cluster) (time.Time, error) {
	text, err := portable.Record{Cluster: c}.Encode()
	if err != nil {
		return time.Time{}, err
	}
	moving, err := s.node.Move(ctx, session.MoveStep{Kind: session.MoveBegin, Cluster: text, Restart: s.restart})
	if session.CodeOf(err) == session.CodeExists {
		return time.Time{}, errMovedBefore
	}
	if err != nil {
		return time.Time{}, s.explain("begin", err)
	}
	s.filling, s.origin = true, c.ID
	if s.sessions, err = spool.New(); err != nil {
		return time.Time{}, err
	}
	return moving.At, nil
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
		_, err := s.node.ImportRecords(ctx, s.origin, texts)
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
	_, err := s.node.Move(ctx, session.MoveStep{Kind: session.MoveFinish, Origin: s.origin, Users: s.moved.Users, Sessions: s.moved.Sessions})
	if session.CodeOf(err) == session.CodeOutcomeUnknown {
		if now, asked := s.node.Moving(ctx); asked == nil && now.Phase == session.MoveOpen && now.Origin == s.origin {
			return nil
		}
	}
	return s.explain("finish", err)
}

// explain says what the cluster answered in terms of a move: it is not about the command line, nor are other nodes to be asked.
func (s *clusterSide) explain(what string, err error) error {
	var e *session.Error
	switch {
	case !errors.As(err, &e):
		return err
	case e.Code == session.CodeUnavailable && e.Err != nil:
		return fmt.Errorf("%s: the cluster cannot be asked: a server of it must run on this machine, with its socket at %s (api.socket): %w", what, s.socket, e.Err)
	}
	return fmt.Errorf("%s: %s", what, e.Message)
}
