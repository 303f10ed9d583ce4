package node

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
)

const (
	// LoginFailuresPerSecond and LoginFailuresAtOnce bound the failed log-ins of this node that get a log entry of their own: a flood of wrong
	// passwords must not fill the log. The others are counted, and reported together.
	LoginFailuresPerSecond = 10
	LoginFailuresAtOnce    = 50
)

// loginFailures brings failed log-ins into the log, for the audit trail, without letting anybody wait.
type loginFailures struct {
	send func(context.Context, *fsmpb.Command) // waits for the outcome
	now  func() time.Duration                  // monotonic

	mu         sync.Mutex
	left       float64 // reports that may be sent at once
	filled     time.Duration
	unreported uint64
	timer      *time.Timer // while some are unreported
}

func newLoginFailures(n *Node) *loginFailures {
	f := &loginFailures{now: n.config.Clock.Monotonic, left: LoginFailuresAtOnce}
	f.filled = f.now()
	f.send = func(ctx context.Context, c *fsmpb.Command) {
		ctx, cancel := context.WithTimeout(ctx, n.config.RequestTimeout)
		defer cancel()
		if _, _, err := n.outbox.submit(ctx, c); err != nil {
			n.log.Warn("failed log-ins are missing in the audit trail", "count", max(1, c.GetLoginFailed().Count), "error", err)
		}
	}
	return f
}

// report tells of one failed log-in. user is "" when no account has the name.
func (f *loginFailures) report(user string, from netip.Addr, reason fsmpb.LoginFailed_Reason) {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.allowLocked() {
		go f.send(context.Background(), loginFailed(&fsmpb.LoginFailed{User: user, Address: addressBytes(from), Reason: reason}))
		return
	}
	f.unreported++
	if f.timer == nil {
		f.timer = time.AfterFunc(time.Second, func() { f.reportRest(context.Background()) })
	}
}

// allowLocked takes from what was saved up.
func (f *loginFailures) allowLocked() bool {
	now := f.now()
	f.left = min(LoginFailuresAtOnce, f.left+(now-f.filled).Seconds()*LoginFailuresPerSecond)
	f.filled = now
	if f.left < 1 {
		return false
	}
	f.left--
	return true
}

// reportRest reports those that were only counted: one entry a second, however many they are. It waits for the outcome. The end of the node
// calls it as well.
func (f *loginFailures) reportRest(ctx context.Context) {
	if f == nil {
		return
	}
	f.mu.Lock()
	count := f.unreported
	if f.timer != nil {
		f.timer.Stop()
	}
	f.unreported, f.timer = 0, nil
	f.mu.Unlock()
	if count > 0 {
		f.send(ctx, loginFailed(&fsmpb.LoginFailed{Reason: fsmpb.LoginFailed_REASON_UNREPORTED, Count: count}))
	}
}

func loginFailed(c *fsmpb.LoginFailed) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_LoginFailed{LoginFailed: c}}
}

// whyRefused tells the audit trail what the caller is never told.
func (n *Node) whyRefused(user fsm.UserRecord, wrong bool) fsmpb.LoginFailed_Reason {
	switch {
	case wrong && user.PasswordHash == "" && len(n.config.Authenticators) > 0:
		return fsmpb.LoginFailed_REASON_DIRECTORY
	case !wrong:
		return fsmpb.LoginFailed_REASON_DISABLED
	case user.Name == "":
		return fsmpb.LoginFailed_REASON_UNKNOWN_USER
	case user.PasswordHash == "":
		return fsmpb.LoginFailed_REASON_NO_PASSWORD
	}
	return fsmpb.LoginFailed_REASON_PASSWORD
}
