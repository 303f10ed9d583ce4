package faircom

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/hydrastore/hydrastore/api/internal/strictjson"
	"github.com/hydrastore/hydrastore/session"
)

// call is one request on its way.
type call struct {
	*room
	ctx context.Context
	session.Call
	envelope *envelope
	issued   string    // the token that the answer names: that of a new session
	warnings []warning // for whoever asks with debug
}

// action carries a request out and returns its result.
type action func(c *call) (any, error)

// actionCreate is the one action whose token plays no part.
const actionCreate = "createSession"

// nothing is the result of actions that have none to show.
type nothing struct{}

func actions() map[string]action {
	return map[string]action{
		actionCreate: createSession, "alterSession": alterSession, "deleteSession": deleteSession,
		"describeSessions": describeSessions, "listSessions": listSessions, "pingSession": pingSession,
	}
}

func actionNames() []string { return slices.Sorted(maps.Keys(actions())) }
func actionList() string    { return strings.Join(actionNames(), ", ") }

func createSession(c *call) (any, error) {
	var s settings
	login := session.Login{Policy: session.PresetFairCom}
	takers := s.takers()
	takers["username"] = func(v strictjson.Value) (err error) { login.User, err = v.Text(); return err }
	takers["password"] = func(v strictjson.Value) (err error) { login.Password, err = v.Text(); return err }
	if err := c.envelope.members(takers, names(takers)); err != nil {
		return nil, err
	}
	switch {
	case login.User == "":
		return nil, session.Invalid("params.username", "is needed")
	case login.Password == "":
		return nil, session.Invalid("params.password", "is needed: client certificates are not taken here")
	}
	login.Permanent = s.permanent != nil && *s.permanent
	if !login.Permanent {
		if s.neverIdle {
			return nil, errOnlyPermanent()
		}
		login.IdleTimeout = s.idle
	}
	login.Reserved = session.Attributes(s.reserved())
	issued, err := c.service.Login(c.ctx, c.Call, login)
	if err != nil {
		return nil, err
	}
	c.issued = issued.Key.Reveal()
	return c.describe(issued.Session, c.issued), nil
}

func alterSession(c *call) (any, error) {
	var s settings
	takers := s.takers()
	refuse := func(v strictjson.Value) error {
		return v.Errorf("of a session cannot be changed: use createSession")
	}
	takers["username"], takers["password"] = refuse, refuse
	if err := c.envelope.members(takers, names(s.takers())); err != nil {
		return nil, err
	}
	now, err := c.look()
	if err != nil {
		return nil, err
	}
	switch {
	case s.permanent != nil && *s.permanent && !now.Permanent:
		return nil, &session.Error{Code: session.CodeForbidden, Field: "params.permanentSession", Message: "a temporary session cannot be made permanent: create a permanent one"}
	case s.permanent != nil && !*s.permanent && now.Permanent:
		return nil, &session.Error{Code: session.CodeForbidden, Field: "params.permanentSession", Message: "a permanent session cannot be made temporary: delete it and create another one"}
	case s.neverIdle && !now.Permanent:
		return nil, errOnlyPermanent()
	}
	checked, err := c.service.Alter(c.ctx, c.Call, session.Alteration{IdleTimeout: s.idle, Reserved: s.reserved()})
	if err != nil {
		return nil, err
	}
	return c.describe(checked.Session, *c.envelope.authToken), nil
}

func errOnlyPermanent() error {
	return session.Invalid("params.idleConnectionTimeoutSeconds", "-1 is what permanent sessions report; use 0 for a session that does not expire by itself")
}

func deleteSession(c *call) (any, error) {
	if err := c.noParams(); err != nil {
		return nil, err
	}
	if c.envelope.authToken == nil {
		return nil, errTokenNeeded()
	}
	checked, err := c.look()
	unknown := session.CodeOf(err) == session.CodeUnauthenticated
	if err != nil && !unknown {
		return nil, err
	}
	if unknown {
		c.warnings = append(c.warnings, warning{codeNoSession, textNoSessionShort})
		if c.Key.IsZero() || checked.Policy != "" { // no token, or another protocol's
			return nothing{}, nil
		}
		// It may have opened nothing because it came from a wrong address: what has been said to be over is over everywhere.
	}
	_, err = c.service.Logout(c.ctx, c.Call)
	return nothing{}, err
}

func pingSession(c *call) (any, error) {
	if err := c.noParams(); err != nil {
		return nil, err
	}
	if c.envelope.authToken == nil {
		return nothing{}, c.service.Ready(false)
	}
	_, err := c.use()
	return nothing{}, err
}

func (c *call) noParams() error {
	return c.envelope.members(nil, "none")
}

// use authenticates by the request's token and counts it as an activity.
func (c *call) use() (session.Checked, error) { return c.check(false) }

// look authenticates and does not count: what follows does.
func (c *call) look() (session.Checked, error) { return c.check(true) }

func (c *call) check(look bool) (session.Checked, error) {
	if c.envelope.authToken == nil {
		return session.Checked{}, errTokenNeeded()
	}
	key, err := session.ParseKey(*c.envelope.authToken)
	if err != nil {
		return session.Checked{}, err
	}
	c.Key = key
	return ofThisRoom(c.service.Check(c.ctx, c.Call, look))
}

// ofThisRoom takes other protocols' sessions for none; they come with the error.
func ofThisRoom(checked session.Checked, err error) (session.Checked, error) {
	if err == nil && checked.Policy != session.PresetFairCom {
		err = session.ErrUnauthenticated()
	}
	return checked, err
}
