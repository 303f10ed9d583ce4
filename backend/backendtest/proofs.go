package backendtest

import (
	"crypto/md5"
	"encoding/hex"
	"strings"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

func keyFormats(e *env) {
	for _, format := range session.KeyFormats() {
		e.policy("web", session.PolicyChange{KeyFormat: ptr(format), RotateGrace: ptr(time.Minute)})
		i := e.under("ada lovelace:/", "web")
		if i.Key.Format() != format || !i.Key.Names(i.Number) {
			e.Errorf("a key of format %q for number %d, want %q", i.Key.Format(), i.Number, format)
		}
		parsed, err := session.ParseKey(i.Key.Reveal())
		e.ok("parse the key", err)
		i.Key = parsed
		e.alive("a key of format "+string(format), i)
		next := e.rotate("rotate it", i)
		if next.Key.Format() != format {
			e.Errorf("its successor has format %q", next.Key.Format())
		}
		again, err := e.other.Rotate(e.Context(), with(i))
		e.ok("rotate it again", err)
		if again.Key != next.Key {
			e.Errorf("it has two successors")
		}
		e.alive("the successor", next)
		if format == session.KeyWS {
			wrong := i
			wrong.Key = next.Key.WithNumber(i.Number + 1)
			e.dead("a key that names another session", wrong)
			_, err := e.s.Logout(e.Context(), with(wrong))
			e.ok("log it out", err)
			e.alive("after that", next)
		}
		l := session.Login{User: "bob", Vouched: true, Policy: "web", IdempotencyKey: string(format)}
		_, err = e.s.Login(e.Context(), e.admin, l)
		e.ok("log in", err)
		repeated, err := e.s.Login(e.Context(), e.admin, l)
		e.ok("log in again", err)
		if repeated.Key.Format() != format {
			e.Errorf("a repeated log-in gives format %q", repeated.Key.Format())
		}
		e.alive("the repeated log-in's", repeated)
	}
}

func boundLogin(e *env) {
	_, err := e.s.Login(e.Context(), e.admin, session.Login{User: "ada", Vouched: true, BindAddress: true})
	e.code("without an address", err, session.CodeInvalid)
	i := e.vouched(session.Login{User: "ada", BindAddress: true, ClientAddress: home})
	e.alive("at its address", i)
	_, err = e.s.Check(e.Context(), session.Call{Key: i.Key, Address: away}, false)
	e.code("at another", err, session.CodeUnauthenticated)
	next := e.rotate("rotate", i)
	_, err = e.s.Check(e.Context(), session.Call{Key: next.Key, Address: away}, false)
	e.code("at another, after rotation", err, session.CodeUnauthenticated)
}

func hexMD5(text string) string {
	sum := md5.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}

func digests(e *env) {
	e.newUser(session.NewUser{Name: "ada", Password: password("ada"), MD5Login: true})
	e.user("bob")
	login := func(user string, d session.Digest) error {
		_, err := e.other.Login(e.Context(), session.Call{Address: home}, session.Login{User: user, Digest: &d})
		return err
	}
	e.ok("by MD5", login("ada", session.Digest{MD5: hexMD5(password("ada"))}))
	e.ok("by MD5 in upper case", login("ADA", session.Digest{MD5: strings.ToUpper(hexMD5(password("ada")))}))
	e.code("a wrong MD5", login("ada", session.Digest{MD5: hexMD5("wrong")}), session.CodeUnauthenticated)
	e.code("a user that may not", login("bob", session.Digest{MD5: hexMD5(password("bob"))}), session.CodeUnauthenticated)
	answer := func(c session.Challenge, p string) session.Digest {
		return session.Digest{Challenge: c.Text, Response: hexMD5(c.Text + hexMD5(p))}
	}
	challenge := func() session.Challenge {
		e.Helper()
		c, err := e.s.IssueChallenge(e.Context(), session.Call{})
		e.ok("issue a challenge", err)
		return c
	}
	c := challenge()
	if !c.ExpiresAt.Equal(c.IssuedAt.Add(session.ChallengeLifetime)) {
		e.Errorf("issued at %v, expires at %v", c.IssuedAt, c.ExpiresAt)
	}
	e.ok("by challenge", login("ada", answer(c, password("ada"))))
	e.code("the same challenge again", login("ada", answer(c, password("ada"))), session.CodeUnauthenticated)
	e.code("a wrong answer", login("ada", answer(challenge(), "wrong")), session.CodeUnauthenticated)
	forged := challenge()
	forged.Text = forged.Text[:len(forged.Text)-1] + "x"
	e.code("a forged challenge", login("ada", answer(forged, password("ada"))), session.CodeUnauthenticated)
	e.code("no challenge", login("ada", answer(session.Challenge{Text: "c0:nonsense"}, password("ada"))), session.CodeUnauthenticated)
	e.update("another password", "ada", session.UserChange{Password: ptr("another password")})
	e.code("by the old MD5", login("ada", session.Digest{MD5: hexMD5(password("ada"))}), session.CodeUnauthenticated)
	e.ok("by the new MD5", login("ada", session.Digest{MD5: hexMD5("another password")}))
	e.update("allow it", "bob", session.UserChange{MD5Login: ptr(true)})
	e.code("before the next log-in with the password", login("bob", session.Digest{MD5: hexMD5(password("bob"))}), session.CodeUnauthenticated)
	e.login("bob")
	e.ok("after it", login("bob", session.Digest{MD5: hexMD5(password("bob"))}))
	if u := e.update("forbid it", "bob", session.UserChange{MD5Login: ptr(false)}); u.MD5Login {
		e.Errorf("it is allowed still")
	}
	e.code("after that", login("bob", session.Digest{MD5: hexMD5(password("bob"))}), session.CodeUnauthenticated)
	old := challenge()
	e.pass(session.ChallengeLifetime + time.Second)
	err := login("ada", answer(old, "another password"))
	e.code("an old challenge", err, session.CodeUnauthenticated)
	if fieldOf(err) != session.FieldChallenge {
		e.Errorf("the refusal is about %q", fieldOf(err))
	}
}

func credentials(e *env) {
	e.user("root", session.RoleAdmin)
	e.newUser(session.NewUser{Name: "ada", Password: password("ada"), MD5Login: true})
	call := func(user, p string) session.Call {
		return session.Call{Address: home, Credentials: &session.Credentials{User: user, Password: p}}
	}
	id, err := e.other.Identify(e.Context(), call("ADA", password("ada")))
	e.ok("identify", err)
	if id.User != "ada" || len(id.Roles) != 1 || id.Roles[0] != session.RoleUser {
		e.Errorf("identified %+v", id)
	}
	_, err = e.s.Identify(e.Context(), session.Call{Address: home, Credentials: &session.Credentials{User: "ada", Digest: &session.Digest{MD5: hexMD5(password("ada"))}}})
	e.ok("identify by MD5", err)
	i := e.login("ada")
	id, err = e.s.Identify(e.Context(), with(i))
	e.ok("identify by key", err)
	if id.User != "ada" {
		e.Errorf("identified %+v", id)
	}
	_, err = e.s.Identify(e.Context(), call("ada", "wrong"))
	e.code("wrong credentials", err, session.CodeUnauthenticated)
	_, err = e.s.Identify(e.Context(), session.Call{})
	e.code("none", err, session.CodeUnauthenticated)
	both := call("ada", password("ada"))
	both.Key = i.Key
	_, err = e.s.Identify(e.Context(), both)
	e.code("beside a key", err, session.CodeInvalid)
	_, err = e.s.Check(e.Context(), call("ada", password("ada")), false)
	e.code("check a session of its own", err, session.CodeInvalid)
	_, err = e.s.ListUsers(e.Context(), call("ada", password("ada")), session.Page{})
	e.code("a user acts as admin", err, session.CodeForbidden)
	_, err = e.s.ListUsers(e.Context(), call("root", password("root")), session.Page{})
	e.ok("an admin does", err)
	done, err := e.s.RevokeUserSessions(e.Context(), call("ada", password("ada")), "ada", session.UserSessions{})
	e.ok("end the own sessions", err)
	if done.Count != 1 {
		e.Errorf("ended %d", done.Count)
	}
	e.dead("ended by credentials", i)
}

func revokeNumbers(e *env) {
	e.policy("keys", session.PolicyChange{PermanentAllowed: ptr(true)})
	e.user("bob")
	var all []session.Issued
	for range 4 {
		all = append(all, e.vouched(session.Login{User: "ada"}))
	}
	all = append(all, e.vouched(session.Login{User: "ada", Policy: "keys", Permanent: true}))
	_, err := e.s.RevokeUserSessions(e.Context(), with(e.login("bob")), "ada", session.UserSessions{Numbers: []uint64{1}})
	e.code("another user's", err, session.CodeForbidden)
	_, err = e.s.RevokeUserSessions(e.Context(), e.admin, "ada", session.UserSessions{Numbers: []uint64{1}, Permanent: true})
	e.code("numbers and more", err, session.CodeInvalid)
	done, err := e.other.RevokeUserSessions(e.Context(), with(all[0]), "ada", session.UserSessions{Numbers: []uint64{all[1].Number, all[4].Number, 999, all[1].Number}})
	e.ok("by their user", err)
	if done.Count != 2 {
		e.Errorf("ended %d", done.Count)
	}
	for n, i := range all {
		if n == 1 || n == 4 {
			e.dead("named", i)
		} else {
			e.alive("not named", i)
		}
	}
	done, err = e.s.RevokeUserSessions(e.Context(), with(all[0]), "ada", session.UserSessions{Numbers: []uint64{all[0].Number, all[2].Number}})
	e.ok("the own too", err)
	if done.Count != 2 {
		e.Errorf("ended %d", done.Count)
	}
	e.dead("the own", all[0])
	e.alive("the last", all[3])
}

func resealing(e *env) {
	e.newUser(session.NewUser{Name: "ada", Password: password("ada"), MD5Login: true})
	e.user("app", session.RoleService)
	i, err := e.s.Login(e.Context(), with(e.login("app")), session.Login{User: "ada", Vouched: true, Sealed: values("s", "1")})
	e.ok("log in", err)
	left := session.LeftUnknown
	if e.Counts {
		left = 0
	}
	for cursor := ""; ; {
		out, err := e.s.Reseal(e.Context(), e.admin, cursor)
		e.ok("reseal", err)
		if cursor = out.NextCursor; out.Count != 0 || out.Left != left && (e.Counts || cursor == "") {
			e.Errorf("resealed %d, left %d, of what has the present key", out.Count, out.Left)
		}
		if cursor == "" {
			break
		}
	}
	_, err = e.s.Reseal(e.Context(), with(i), "")
	e.code("by a user", err, session.CodeForbidden)
	e.wantAttributes("after it", e.alive("a look", i).Sealed, `{"s":1}`)
}
