package fsm_test

import (
	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

func (m *model) setSessionHome(c *fsmpb.SetSessionHome, r *fsmpb.Result) {
	node := c.Home == fsmpb.SessionHome_SESSION_HOME_NODE
	switch {
	case !node && c.Home != fsmpb.SessionHome_SESSION_HOME_CLUSTER:
		set(r, fsmpb.Code_CODE_INVALID, "session_home")
		return
	case node == m.home.Node:
	case len(m.sessions) > 0:
		set(r, fsmpb.Code_CODE_CONFLICT, "sessions")
		return
	default:
		m.home = fsm.Home{Node: node, Version: m.nextVersion()}
	}
	r.Payload = &fsmpb.Result_Version{Version: m.home.Version}
}

// end notes what a change has ended at nodes.
func (u *modelUser) end(version uint64, permanent bool, spared session.ID) {
	u.endings.Sessions = fsm.Ending{At: version, Before: u.endings.Sessions.At}
	if permanent {
		u.endings.Permanent = fsm.Ending{At: version, Before: u.endings.Permanent.At}
	}
	u.endings.Spared = spared
}
