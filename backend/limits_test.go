package backend_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/backend/backendtest"
	"github.com/hydrastore/hydrastore/backend/memory"
	"github.com/hydrastore/hydrastore/session"
)

// TestWhatIsRefused: no policy is taken that asks for what is not kept, neither at the start nor later.
func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	s := backendtest.Start(t, backendtest.Config(t), memory.New(nil))
	few, many, local := 5, backend.MaxSessionsOfUser+1, session.AttributesLocal
	for field, ch := range map[string]session.PolicyChange{
		"max_sessions_per_address": {LimitsChange: session.LimitsChange{MaxSessionsPerAddress: &few}},
		"max_sessions":             {LimitsChange: session.LimitsChange{MaxSessions: &few}},
		"max_sessions_per_user":    {LimitsChange: session.LimitsChange{MaxSessionsPerUser: &many}},
		"attributes":               {Attributes: &local},
	} {
		for what, put := range map[string]func() error{
			"put":   func() error { _, err := s.PutPolicy(t.Context(), operator, "web", ch); return err },
			"patch": func() error { _, err := s.PatchPolicy(t.Context(), operator, "default", ch); return err },
			"start": func() error {
				c := backendtest.Config(t)
				p := ch.Over(session.DefaultPolicy())
				p.Name = "web"
				c.Policies = append(c.Policies, p)
				_, err := backend.New(c, memory.New(nil))
				return err
			},
		} {
			var e *session.Error
			if err := put(); !errors.As(err, &e) || e.Code != session.CodeInvalid || e.Field != field || !strings.Contains(e.Message, "memory") {
				t.Errorf("%s of %s: got %v", what, field, err)
			}
		}
	}
	if _, err := s.PatchLimits(t.Context(), operator, session.ClusterLimitsChange{MaxSessions: &few}); session.CodeOf(err) != session.CodeInvalid {
		t.Errorf("limits of the cluster: %v", err)
	}
	if _, err := s.ClusterStatus(t.Context(), operator); session.CodeOf(err) != session.CodeConflict {
		t.Errorf("the cluster's status: %v", err)
	}
}

// TestAUserHasABoundedList: where no policy limits them, a user's sessions end at the bound of its record, and the dead ones count no more.
func TestAUserHasABoundedList(t *testing.T) {
	t.Parallel()
	var passed atomic.Int64
	begun := time.Now()
	store := memory.New(func() time.Time { return begun.Add(time.Duration(passed.Load())) })
	c := backendtest.Config(t)
	c.SweepInterval = time.Hour
	s := backendtest.Start(t, c, store)
	login := func() error {
		_, err := s.Login(t.Context(), operator, session.Login{User: "ada", Vouched: true})
		return err
	}
	for i := range backend.MaxSessionsOfUser {
		if err := login(); err != nil {
			t.Fatalf("session %d: %v", i+1, err)
		}
	}
	if err := login(); session.CodeOf(err) != session.CodeSessionLimit {
		t.Errorf("one more: %v", err)
	}
	got, err := store.Get(t.Context(), backend.Name{Kind: backend.KindUser, ID: "ada"})
	if err != nil || len(got.Records[0].Value) > backend.MaxValueBytes*3/4 {
		t.Errorf("the record has %d bytes, %v", len(got.Records[0].Value), err)
	}
	passed.Store(int64(time.Hour))
	if err := login(); err != nil {
		t.Errorf("after all have ended: %v", err)
	}
}
