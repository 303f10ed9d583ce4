package livejournal

import (
	"context"
	"strconv"
	"strings"

	"github.com/hydrastore/hydrastore/session"
)

func (d *desk) challenge(ctx context.Context, r *request) (reply, error) {
	c, err := d.service.IssueChallenge(ctx, r.call)
	if err != nil {
		return reply{}, err
	}
	return reply{
		texts:   map[string]string{"auth_scheme": "c0", "challenge": c.Text},
		numbers: map[string]int64{"server_time": c.IssuedAt.Unix(), "expire_time": c.ExpiresAt.Unix()},
	}, nil
}

// login tells only that the user is who it says: it makes no session, in this protocol.
func (d *desk) login(ctx context.Context, r *request) (reply, error) {
	if err := d.identify(ctx, r); err != nil {
		return reply{}, err
	}
	return reply{
		texts: map[string]string{"name": r.user, "username": r.user, "fullname": r.user},
		lists: []string{"friendgroups", "usejournals"},
	}, nil
}

// identify wants proof of who asks, and nothing else.
func (d *desk) identify(ctx context.Context, r *request) error {
	if r.byCookie() {
		_, _, err := d.cookie(ctx, r)
		return err
	}
	call, err := r.credentials()
	if err != nil {
		return err
	}
	_, err = d.service.Identify(ctx, call)
	return err
}

func (d *desk) generate(ctx context.Context, r *request) (reply, error) {
	if r.byCookie() {
		if _, _, err := d.cookie(ctx, r); err != nil {
			return reply{}, err
		}
		return reply{}, refused(codeArguments, "a session makes no other one: send a password or a response")
	}
	call, err := r.credentials()
	if err != nil {
		return reply{}, err
	}
	given := call.Credentials
	call.Credentials = nil
	login := session.Login{
		User: given.User, Password: given.Password, Digest: given.Digest, Policy: d.config.Short,
		BindAddress: r.truth("ipfixed") || r.truth("bindtoip"), // the one is documented, the other is what the servers have always read
	}
	if r.args["expiration"] == "long" {
		login.Policy = d.config.Long
	}
	issued, err := d.service.Login(ctx, call, login)
	if err != nil {
		return reply{}, err
	}
	return reply{texts: map[string]string{"ljsession": issued.Key.Reveal()}}, nil
}

func (d *desk) expire(ctx context.Context, r *request) (reply, error) {
	var out reply
	call := r.call
	if r.byCookie() {
		key, names, err := d.cookie(ctx, r)
		if err != nil {
			return reply{}, err
		}
		if call.Key = key; r.truth("expireall") {
			out.cookies = names
		}
	} else {
		var err error
		if call, err = r.credentials(); err != nil {
			return reply{}, err
		}
	}
	numbers := sessionNumbers(r.ids)
	switch {
	case r.truth("expireall"):
		return out, d.expireAll(ctx, call, r.user)
	case len(numbers) == 0:
		if r.byCookie() {
			return out, nil
		}
		_, err := d.service.Identify(ctx, call) // nothing is to be done, but not by anybody
		return out, err
	}
	_, err := d.service.RevokeUserSessions(ctx, call, r.user, session.UserSessions{Numbers: numbers})
	return out, err
}

// expireAll ends all sessions of a user. Permanent ones are none of this protocol's.
func (d *desk) expireAll(ctx context.Context, call session.Call, user string) error {
	_, err := d.service.RevokeUserSessions(ctx, call, user, session.UserSessions{})
	return err
}

// sessionNumbers reads what can be the number of a session. Others name none, and it is no error to expire what does not exist.
func sessionNumbers(ids []string) []uint64 {
	var numbers []uint64
	for _, id := range ids {
		if n, err := strconv.ParseUint(id, 10, 64); err == nil {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

// check tells about the session of a cookie, or else only who asks.
func (d *desk) check(ctx context.Context, r *request) (reply, error) {
	out := reply{texts: map[string]string{"username": r.user}, numbers: map[string]int64{"caps": 0}, lists: []string{"usejournals"}}
	if !r.byCookie() {
		return out, d.identify(ctx, r)
	}
	key, _, err := d.cookie(ctx, r)
	if err != nil {
		return reply{}, err
	}
	out.texts["session"] = strings.TrimPrefix(key.Reveal(), "ws:")
	return out, nil
}
