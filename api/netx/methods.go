package netx

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/hydrastore/hydrastore/api/internal/strictjson"
	"github.com/hydrastore/hydrastore/api/protocol"
	"github.com/hydrastore/hydrastore/session"
)

// notAuthenticated is what authenticate answers to every failure.
const notAuthenticated = "-1"

// tickleTime is the preference that is none: setting it says "keep this session alive", whatever the value.
const tickleTime = "TickleTime"

// call is one request on its way.
type call struct {
	*room
	ctx context.Context
	session.Call
	request *request

	texts []string // the parameters that are strings, in their order
	bean  bean     // the last parameter of a method that takes one
	told  error    // the failure that the result tells of
}

// bean is NetX's LabelValueBean.
type bean struct{ label, value string }

// method is one that can be called.
type method struct {
	texts       int // how many strings it takes, the session key first
	takesBean   bool
	needsAnswer bool // it does nothing for who does not wait for the answer
	signature   string
	run         func(c *call) (any, error)
}

func methods() map[string]method {
	return map[string]method{
		"authenticate":      {texts: 2, needsAnswer: true, signature: "authenticate(login, password)", run: authenticate},
		"setUserPreference": {texts: 1, takesBean: true, signature: "setUserPreference(sessionKey, {label, value})", run: setUserPreference},
		"getUserPreference": {texts: 2, needsAnswer: true, signature: "getUserPreference(sessionKey, label)", run: getUserPreference},
		"validateSession":   {texts: 1, signature: "validateSession(sessionKey)", run: validateSession},
		"getSessionState":   {texts: 1, needsAnswer: true, signature: "getSessionState(sessionKey)", run: getSessionState},
		"closeSession":      {texts: 1, signature: "closeSession(sessionKey)", run: closeSession},
	}
}

func methodNames() []string { return slices.Sorted(maps.Keys(methods())) }

// bind takes the parameters that a method has.
func (c *call) bind(m method) error {
	wrong := func(cause error) error {
		text := "the parameters are " + m.signature
		if cause != nil {
			text += ": " + cause.Error()
		}
		return &rpcError{codeParams, errInvalid(text)}
	}
	params := c.request.params
	want := m.texts
	if m.takesBean {
		want++
	}
	if len(params) != want {
		return wrong(nil)
	}
	for _, p := range params[:m.texts] {
		text, err := p.Text()
		if err != nil {
			return wrong(protocol.BodyError(err))
		}
		c.texts = append(c.texts, text)
	}
	if m.takesBean {
		if err := c.bean.take(params[m.texts]); err != nil {
			return wrong(protocol.BodyError(err))
		}
	}
	return nil
}

func (b *bean) take(v strictjson.Value) error {
	labelled := false
	err := v.Object(func(name string, v strictjson.Value) (err error) {
		switch name {
		case "label":
			labelled = true
			b.label, err = v.Text()
		case "value":
			if v.Kind() != strictjson.Null {
				b.value, err = v.Text()
			}
		default:
			err = v.Errorf("a preference has a label and a value")
		}
		return err
	})
	if err == nil && (!labelled || b.label == "") {
		err = v.Errorf("a preference needs a label")
	}
	return err
}

// authenticate answers every failure alike, as NetX does; the log has the reason.
func authenticate(c *call) (any, error) {
	var issued session.Issued
	issued, c.told = c.service.Login(c.ctx, c.Call, session.Login{User: c.texts[0], Password: c.texts[1], Policy: session.PresetNetX})
	key := notAuthenticated
	if c.told == nil {
		key = issued.Key.Reveal()
	}
	return key, nil
}

// setUserPreference is a tickle, whichever the preference: it moves the timer of use and never the one of inactivity.
func setUserPreference(c *call) (any, error) {
	_, err := c.open()
	if err == nil && c.bean.label == tickleTime {
		_, err = c.service.Touch(c.ctx, c.Call)
	} else if err == nil {
		_, err = c.service.PatchPreferences(c.ctx, c.Call, session.AttributePatch{c.bean.label: encoded(c.bean.value)})
	}
	c.told = err
	return err == nil, nil
}

// shownPreference is what getUserPreference answers.
type shownPreference struct {
	Label string  `json:"label"`
	Value *string `json:"value"` // nil = never set
}

func getUserPreference(c *call) (any, error) {
	if _, err := c.open(); err != nil {
		return nil, err
	}
	preferences, err := c.service.Preferences(c.ctx, c.Call)
	if err != nil {
		return nil, err
	}
	shown := shownPreference{Label: c.texts[1]}
	if raw, found := preferences.Values[shown.Label]; found {
		var value string
		if err := json.Unmarshal(raw, &value); err == nil {
			shown.Value = &value
		}
	}
	return shown, nil
}

func validateSession(c *call) (any, error) {
	_, err := c.open()
	if err == nil {
		_, err = c.service.Check(c.ctx, c.Call, false)
	}
	if session.CodeOf(err) == session.CodeUnauthenticated {
		c.told = err
		return false, nil
	}
	return true, err
}

// state of a session, seen without using it.
type state struct {
	User      string `json:"user"`
	Prompt    bool   `json:"prompt"`    // the user should be asked to stay
	ExpiresAt string `json:"expiresAt"` // RFC 3339
}

func getSessionState(c *call) (any, error) {
	checked, err := c.open()
	if err != nil {
		return nil, err
	}
	return state{User: checked.User, Prompt: checked.Prompt, ExpiresAt: checked.ExpiresAt.UTC().Format(time.RFC3339)}, nil
}

// closeSession ends the session even where its key opens nothing because it came from a wrong address: what has been said to be over is over everywhere.
func closeSession(c *call) (any, error) {
	checked, err := c.open()
	unknown := session.CodeOf(err) == session.CodeUnauthenticated
	if err != nil && !unknown {
		return nil, err
	}
	if unknown && (c.Key.IsZero() || checked.Policy != "") { // no key, or another protocol's
		return true, nil
	}
	_, err = c.service.Logout(c.ctx, c.Call)
	return true, err
}

// open finds the session of the first parameter without using it; what follows does. Other protocols' sessions are none here; they come with the error.
func (c *call) open() (session.Checked, error) {
	key, err := session.ParseKey(c.texts[0])
	if err != nil {
		return session.Checked{}, err
	}
	c.Key = key
	checked, err := c.service.Check(c.ctx, c.Call, true)
	if err == nil && checked.Policy != session.PresetNetX {
		err = session.ErrUnauthenticated()
	}
	return checked, err
}
