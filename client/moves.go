package client

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"

	"github.com/hydrastore/hydrastore/client/internal/wire"
	"github.com/hydrastore/hydrastore/session"
)

// Moving tells whether sessions are being moved into the cluster or out of it. As all of a move it is for operators: see Config.Socket.
func (c *Client) Moving(ctx context.Context, options ...Option) (session.Moving, error) {
	return c.moving(ctx, c.request(http.MethodGet, "/v1/cluster/move", options))
}

// Move takes a step of a move.
func (c *Client) Move(ctx context.Context, s session.MoveStep, options ...Option) (session.Moving, error) {
	r := c.request(http.MethodPost, "/v1/cluster/move", options)
	r.idempotent = true // a step that is done is none
	step := wire.MoveStep{Step: wire.MoveStepStep(s.Kind), Origin: unlessEmpty(s.Filling.Origin)}
	switch s.Kind {
	case session.MoveBegin:
		step.Cluster, step.Restart = &s.Cluster, &s.Restart
		r.idempotent = !s.Restart
	case session.MoveReopen:
		if s.Filling.Number != 0 {
			step.Filling = &s.Filling.Number
		}
	case session.MoveFinish:
		step.Filling, step.Users, step.Sessions = &s.Filling.Number, &s.Users, &s.Sessions
		r.idempotent = false
	}
	if err := r.json(step); err != nil {
		return session.Moving{}, err
	}
	return c.moving(ctx, r)
}

// ImportRecords moves a page of records in.
func (c *Client) ImportRecords(ctx context.Context, f session.Filling, records []json.RawMessage, options ...Option) (session.Moving, error) {
	r := c.request(http.MethodPost, "/v1/cluster/move/records", options)
	r.idempotent = true
	var body bytes.Buffer
	e := json.NewEncoder(&body)
	e.SetEscapeHTML(false) // attributes keep their bytes
	if err := e.Encode(wire.RecordImport{Origin: f.Origin, Filling: f.Number, Items: records}); err != nil {
		return session.Moving{}, session.Invalid("items", "cannot be written as JSON: %v", err)
	}
	r.body = body.Bytes()
	return c.moving(ctx, r)
}

// ExportRecords returns a page of what a closed or filling cluster holds; cursor "" = the first one.
func (c *Client) ExportRecords(ctx context.Context, cursor string, options ...Option) (session.PortableRecords, error) {
	r := c.request(http.MethodGet, "/v1/cluster/move/records", options)
	setPage(r, session.Page{Cursor: cursor})
	a, err := c.do(ctx, r)
	if err != nil {
		return session.PortableRecords{}, err
	}
	var w wire.RecordList
	meta, err := a.read(&w)
	return session.PortableRecords{Records: w.Items, NextCursor: orEmpty(w.NextCursor), Meta: meta}, err
}

func (c *Client) moving(ctx context.Context, r *request) (session.Moving, error) {
	a, err := c.do(ctx, r)
	if err != nil {
		return session.Moving{}, err
	}
	var w wire.Moving
	meta, err := a.read(&w)
	m := session.Moving{Phase: session.MovePhase(w.Phase), Origin: orEmpty(w.Origin), Users: w.Users, Sessions: w.Sessions, Meta: meta}
	if w.Filling != nil {
		m.Number = *w.Filling
	}
	if w.At != nil {
		m.At = w.At.UTC()
	}
	return m, err
}
