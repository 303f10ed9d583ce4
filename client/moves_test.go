package client_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"testing"

	"github.com/hydrastore/hydrastore/api/apitest"
	"github.com/hydrastore/hydrastore/client"
	"github.com/hydrastore/hydrastore/session"
)

func TestMoves(t *testing.T) {
	t.Parallel()
	service := apitest.New()
	service.AddUser("root", password, session.RoleAdmin)
	server := httptest.NewServer(handler(t, service, true))
	t.Cleanup(server.Close)
	c, ctx := newClient(t, client.Config{Addresses: []string{server.URL}}), context.Background()

	if got, err := c.Moving(ctx); err != nil || got.Phase != session.MoveOpen || !got.At.IsZero() || got.Users != 1 || got.Sessions != 1 || got.Number != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := c.Move(ctx, session.MoveStep{Kind: session.MoveClose}); err != nil || got.Phase != session.MoveClosed || !got.At.Equal(apitest.Start()) || got.Index == "" || got.Number != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := c.Move(ctx, session.MoveStep{Kind: session.MoveClose}); err != nil || got.Number != 2 {
		t.Errorf("closed again: %+v, %v", got, err)
	}
	if _, err := c.Move(ctx, session.MoveStep{Kind: session.MoveReopen, Filling: session.Filling{Number: 1}}); session.CodeOf(err) != session.CodeConflict {
		t.Errorf("opened for the first closing: %v", err)
	}
	if got, err := c.Move(ctx, session.MoveStep{Kind: session.MoveReopen, Filling: session.Filling{Number: 2}}); err != nil || got.Phase != session.MoveOpen {
		t.Errorf("got %+v, %v", got, err)
	}
	origin := `{"cluster":{}}`
	if got, err := c.Move(ctx, session.MoveStep{Kind: session.MoveBegin, Cluster: json.RawMessage(origin)}); err != nil || got.Origin != origin || got.Number != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
	filling := session.Filling{Origin: origin, Number: 1}
	records := []json.RawMessage{json.RawMessage(`{"user":{"name":"<&>"}}`), json.RawMessage(`{"session":{"n":12345678901234567890}}`)}
	if got, err := c.ImportRecords(ctx, filling, records); err != nil || got.Phase != session.MoveFilling {
		t.Errorf("got %+v, %v", got, err)
	}
	var back []json.RawMessage
	for cursor, more := "", true; more; more = cursor != "" {
		page, err := c.ExportRecords(ctx, cursor)
		if err != nil {
			t.Fatal(err)
		}
		back, cursor = append(back, page.Records...), page.NextCursor
	}
	if fmt.Sprintf("%s", back) != fmt.Sprintf("%s", records) {
		t.Errorf("got %s, want %s", back, records)
	}
	if _, err := c.Move(ctx, session.MoveStep{Kind: session.MoveFinish, Filling: filling, Users: 1, Sessions: 2}); session.CodeOf(err) != session.CodeConflict {
		t.Errorf("got %v", err)
	}
	if got, err := c.Move(ctx, session.MoveStep{Kind: session.MoveFinish, Filling: filling, Users: 1, Sessions: 1}); err != nil || got.Phase != session.MoveOpen {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := c.Move(ctx, session.MoveStep{Kind: "jump"}); session.CodeOf(err) != session.CodeInvalid {
		t.Errorf("got %v", err)
	}
}
