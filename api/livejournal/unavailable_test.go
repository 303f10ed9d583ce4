package livejournal_test

import (
	"context"
	"errors"
	"testing"

	"github.com/hydrastore/hydrastore/api/apitest"
	"github.com/hydrastore/hydrastore/api/livejournal"
	"github.com/hydrastore/hydrastore/session"
)

// What a service answers, in LiveJournal's words. FAIL is FAIL, in both forms and for every mode.
func TestFailuresOfTheService(t *testing.T) {
	t.Parallel()
	service := apitest.New()
	s := &site{t: t}
	s.serve(service)
	for _, v := range []struct {
		err  error
		code int
		text string
	}{
		{session.ErrWrongCredentials(), 101, "Invalid password"},
		{session.ErrUnauthenticated(), 101, "Invalid password"},
		{session.ErrChallengeExpired(), 105, "Challenge expired"},
		{session.Invalid("x", "is wrong"), 203, "Client error: Invalid argument(s): is wrong"},
		{session.ErrLoginPolicyForbidden(), 203, "Client error: Invalid argument(s): the user may not log in under this policy"},
		{&session.Error{Code: session.CodeThrottled, Message: "x"}, 402, "Client error: Your IP address is temporarily banned for exceeding the login failure rate."},
		{session.ErrLoginUserChanged(), 503, "Server error: Error obtaining necessary database lock: ask again"},
		{&session.Error{Code: session.CodeNoQuorum, Message: "x"}, 502, "Server error: Database temporarily unavailable"},
		{&session.Error{Code: session.CodeOutcomeUnknown, Message: "x"}, 501, "Server error: Database error: it is not known whether this was done"},
		{errors.New("a secret cause"), 500, "Server error: Internal server error"},
	} {
		service.SetHook(func(context.Context, string, session.Call) error { return v.err })
		for _, mode := range []string{"getchallenge", "login", "sessiongenerate", "sessionexpire", "checksession"} {
			s.wantFail(v.text, "mode="+mode+"&user=test&password="+password+"&expireall=1")
			s.wantFault(v.code, v.text, call(mode, "username", "test", "password", password, "expireall", "1"))
		}
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*livejournal.Config){
		"no name":    func(c *livejournal.Config) { c.MaxUserName = 0 },
		"long names": func(c *livejournal.Config) { c.MaxUserName = session.MaxUserNameBytes + 1 },
		"no policy":  func(c *livejournal.Config) { c.Short = "" },
		"bad policy": func(c *livejournal.Config) { c.Long = "No Name" },
	} {
		c := livejournal.DefaultConfig()
		change(&c)
		if err := c.Validate(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := livejournal.DefaultConfig().Validate(); err != nil {
		t.Errorf("the default: %v", err)
	}
	if p := livejournal.New(livejournal.DefaultConfig(), apitest.New()); p.Validate() != nil {
		t.Errorf("got %v", p.Validate())
	}
}
