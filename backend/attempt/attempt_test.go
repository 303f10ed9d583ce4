package attempt_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/backend/attempt"
	"github.com/hydrastore/hydrastore/session"
)

var (
	errCause = errors.New("cause")
	// notDone, lost and refused are what a store's errors can mean.
	notDone = &attempt.Fault{Code: session.CodeOverloaded, Message: "busy", NotDone: true, Again: true, Cause: errCause}
	lost    = &attempt.Fault{Code: session.CodeUnavailable, Message: "silent", Again: true, Cause: errCause}
	refused = &attempt.Fault{Code: session.CodeInternal, Message: "strange", NotDone: true, Cause: errCause}
)

func three() attempt.Attempts {
	return attempt.Attempts{Store: "The store", Most: 3, Pause: func(int) time.Duration { return 0 }}
}

// answers gives one answer after the other, and counts.
func answers(asked *int, errs ...error) func() error {
	return func() error {
		*asked++
		return errs[*asked-1]
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answers []error
		want    session.Code
	}{
		"at once":               {[]error{nil}, ""},
		"at last":               {[]error{lost, notDone, nil}, ""},
		"never":                 {[]error{lost, lost, lost}, session.CodeUnavailable},
		"what helps no further": {[]error{lost, refused}, session.CodeInternal},
	} {
		asked := 0
		err := three().Read(t.Context(), answers(&asked, c.answers...))
		if session.CodeOf(err) != c.want || asked != len(c.answers) || err != nil && !errors.Is(err, errCause) {
			t.Errorf("%s: %v after %d", name, err, asked)
		}
	}
}

func TestWrite(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answers []error
		mine    func() (bool, error) // nil = a try knows by itself
		want    session.Code
		changed bool
	}{
		"at once":                            {[]error{nil}, nil, "", false},
		"another came first":                 {[]error{backend.ErrChanged}, nil, "", true},
		"another came first, at last":        {[]error{notDone, backend.ErrChanged}, nil, "", true},
		"certainly nothing was done":         {[]error{notDone, notDone, notDone}, nil, session.CodeOverloaded, false},
		"refused":                            {[]error{notDone, refused}, nil, session.CodeInternal, false},
		"no answer, and then it was done":    {[]error{lost, nil}, nil, "", false},
		"no answer at all":                   {[]error{lost, lost, lost}, nil, session.CodeOutcomeUnknown, false},
		"no answer, and then refused":        {[]error{lost, refused}, nil, session.CodeOutcomeUnknown, false},
		"no answer, and then changed":        {[]error{lost, backend.ErrChanged}, nil, session.CodeOutcomeUnknown, false},
		"changed by an earlier try":          {[]error{lost, backend.ErrChanged}, func() (bool, error) { return true, nil }, "", false},
		"changed by somebody else":           {[]error{lost, backend.ErrChanged}, func() (bool, error) { return false, nil }, session.CodeOutcomeUnknown, false},
		"changed, and nobody knows by whom":  {[]error{lost, backend.ErrChanged}, func() (bool, error) { return true, errCause }, session.CodeOutcomeUnknown, false},
		"changed, and nothing was lost":      {[]error{notDone, backend.ErrChanged}, func() (bool, error) { return true, nil }, "", true},
		"no answer, then not done, for good": {[]error{lost, notDone, notDone}, nil, session.CodeOutcomeUnknown, false},
	} {
		asked := 0
		err := three().Write(t.Context(), answers(&asked, c.answers...), c.mine)
		if errors.Is(err, backend.ErrChanged) != c.changed || !c.changed && session.CodeOf(err) != c.want || asked != len(c.answers) {
			t.Errorf("%s: %v after %d", name, err, asked)
		}
		if c.want == session.CodeOutcomeUnknown && !strings.HasPrefix(err.Error(), string(session.CodeOutcomeUnknown)+": The store did not answer") {
			t.Errorf("%s: it says %q", name, err)
		}
	}
}

// TestUnknownSaysWhy where the store has answered, and the answer is not enough.
func TestUnknownSaysWhy(t *testing.T) {
	t.Parallel()
	asked := 0
	behind := &attempt.Fault{Code: session.CodeUnavailable, Message: "behind", Unknown: "others do not have it", Again: true}
	err := three().Write(t.Context(), answers(&asked, behind, behind, behind), nil)
	if session.CodeOf(err) != session.CodeOutcomeUnknown || !strings.HasSuffix(err.Error(), "others do not have it") || asked != 3 {
		t.Errorf("a write: %v after %d", err, asked)
	}
	asked = 0
	err = three().Read(t.Context(), answers(&asked, behind, behind, behind))
	if session.CodeOf(err) != session.CodeUnavailable || !strings.HasSuffix(err.Error(), "behind") {
		t.Errorf("a read: %v", err)
	}
}

// TestASessionIsMadeOnce: a try that made it, and whose answer was lost, may come late.
func TestASessionIsMadeOnce(t *testing.T) {
	t.Parallel()
	session1, user := backend.Name{Kind: backend.KindSession, ID: "1"}, backend.Name{Kind: backend.KindUser, ID: "ada"}
	for name, c := range map[string]struct {
		attempts attempt.Attempts
		answers  []error
		want     session.Code
	}{
		"made":                        {three().At(session1, ""), []error{lost}, session.CodeOutcomeUnknown},
		"made, after it was not done": {three().At(session1, ""), []error{notDone, notDone, nil}, ""},
		"replaced":                    {three().At(session1, "1"), []error{lost, nil}, ""},
		"another kind":                {three().At(user, ""), []error{lost, nil}, ""},
	} {
		asked := 0
		if err := c.attempts.Write(t.Context(), answers(&asked, c.answers...), nil); session.CodeOf(err) != c.want || asked != len(c.answers) {
			t.Errorf("%s: %v after %d", name, err, asked)
		}
	}
}

// TestARequestThatEndsIsAskedForNoMore: nobody waits for the answer.
func TestARequestThatEndsIsAskedForNoMore(t *testing.T) {
	t.Parallel()
	ctx, end := context.WithCancel(t.Context())
	a := attempt.Attempts{Store: "The store", Most: 3, Pause: func(int) time.Duration { return time.Hour }}
	asked := 0
	err := a.Write(ctx, func() error { asked++; end(); return lost }, nil)
	if session.CodeOf(err) != session.CodeOutcomeUnknown || asked != 1 {
		t.Errorf("%v after %d", err, asked)
	}
}
