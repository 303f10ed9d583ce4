package backend_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/backend/backendtest"
	"github.com/hydrastore/hydrastore/backend/memory"
	"github.com/hydrastore/hydrastore/session"
	"github.com/hydrastore/hydrastore/session/portable"
)

// TestAMoveThatAnotherHasOvertakenEnds: somebody has begun the same move once more, which has come to its end, and servers have used what it brought. The
// first one brings nothing back then, wherever it stands.
func TestAMoveThatAnotherHasOvertakenEnds(t *testing.T) {
	t.Parallel()
	for what, stands := range map[string]struct {
		call string
		kind backend.Kind
		nth  int64
	}{
		"at its users":           {"get", backend.KindUser, 1},
		"at its second sessions": {"get", backend.KindSession, 2},
		"before its lists":       {"scan", backend.KindUser, 1},
		"before it drops":        {"scan", backend.KindSession, 1},
		"before it drops keys":   {"scan", backend.KindKey, 1},
		"before it is verified":  {"delete", backend.KindCluster, 1},
		"when it is read anew":   {"scan", backend.KindUser, 2},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			from, to := memory.New(nil), memory.New(nil)
			living := fill(t, from, 300)
			first := &breaking{Store: to}
			first.left.Store(3) // so that the next one is repeated, and drops what the source has no more
			if _, err := portable.Move(t.Context(), backend.MoveStore(from), backend.MoveStore(first), silent); !errors.Is(err, errKilled) {
				t.Fatal(err)
			}
			overtaken := false
			slow := &scanned{meddled: meddled{Store: to}}
			slow.onNth(stands.call, stands.kind, stands.nth, func() {
				overtaken = true
				move(t, backend.MoveStore(from), backend.MoveStore(to))
				s := backendtest.Start(t, backendtest.Config(t), to)
				for _, user := range []string{"user <1>", "user <49>"} {
					if _, err := s.RevokeUserSessions(t.Context(), operator, user, session.UserSessions{}); err != nil {
						t.Error(err)
					}
				}
				if err := s.Shutdown(t.Context()); err != nil {
					t.Error(err)
				}
			})
			_, err := portable.Move(t.Context(), backend.MoveStore(from), backend.MoveStore(slow), silent)
			if !overtaken {
				t.Fatalf("it does not come there: %v", err)
			}
			if err == nil || !strings.Contains(err.Error(), "every other move into it") && !strings.HasPrefix(err.Error(), "verify: ") {
				t.Errorf("got %v", err)
			}
			s := backendtest.Start(t, backendtest.Config(t), to)
			for key, was := range living {
				want := session.Code("")
				if was.User == "user <1>" || was.User == "user <49>" {
					want = session.CodeUnauthenticated
				}
				if _, err := s.Check(t.Context(), session.Call{Key: key}, true); session.CodeOf(err) != want {
					t.Fatalf("session %d of %s: %v, want %q", was.Number, was.User, err, want)
				}
			}
		})
	}
}

// scanned is a store at which something comes before its scans, too.
type scanned struct{ meddled }

func (s *scanned) Scan(ctx context.Context, kind backend.Kind, after string, limit int) (backend.Page, error) {
	s.before("scan", backend.Name{Kind: kind})
	return s.meddled.Scan(ctx, kind, after, limit)
}
