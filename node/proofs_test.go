package node_test

import (
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/session"
)

const oldPassword = "old-password"

// withProofs gives all nodes a safe password, and lifts the throttle where it is not what is tested.
func withProofs(_ int, c *node.Config) {
	c.Sealing = auth.Sealing{Password: "a safe password", Params: auth.Params{MemoryKiB: 64, Iterations: 1, Parallelism: 1}}
	c.Throttle.PerUser, c.Throttle.PerAddress = 0, 0
}

func hexMD5(text string) string {
	sum := md5.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}

// answer is what a client makes of a challenge.
func answer(challenge, password string) *session.Digest {
	return &session.Digest{Challenge: challenge, Response: hexMD5(challenge + hexMD5(password))}
}

// addMD5User makes a user who may log in by MD5.
func (c *trio) addMD5User(name, password string) {
	c.t.Helper()
	eventually(c.t, "user "+name, func() error { // once all nodes have said that they hold the seal key
		_, err := c.nodes[0].CreateUser(c.t.Context(), operator, session.NewUser{Name: name, Password: password, MD5Login: true})
		return err
	})
}

func (c *trio) challenge(i int) string {
	c.t.Helper()
	var got session.Challenge
	eventually(c.t, "a challenge", func() (err error) {
		got, err = c.nodes[i].IssueChallenge(c.t.Context(), session.Call{})
		return err
	})
	return got.Text
}

func (c *trio) byDigest(i int, user string, d *session.Digest) error {
	_, err := c.nodes[i].Login(c.t.Context(), from("192.0.2.7"), session.Login{User: user, Digest: d})
	return err
}

func wantWrong(t *testing.T, what string, err error) {
	t.Helper()
	var e *session.Error
	if !errors.As(err, &e) || e.Code != session.CodeUnauthenticated || e.Field != "" {
		t.Errorf("%s: %v, want the answer of wrong credentials", what, err)
	}
}

// A challenge is taken at one node, answered at another, and good nowhere after that; nor is one whose answer was wrong, or that was forged.
func TestAChallengeIsGoodOnceAtAnyNode(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, withProofs)
	c.addMD5User("ada", oldPassword)
	for i := range 3 {
		text := c.challenge(i)
		if err := c.byDigest((i+1)%3, "Ada ", answer(text, oldPassword)); err != nil {
			t.Fatalf("challenge of node %d: %v", i+1, err)
		}
		for j := range 3 {
			wantWrong(t, "a used challenge", c.byDigest(j, "ada", answer(text, oldPassword)))
		}
	}
	text := c.challenge(0)
	wantWrong(t, "a wrong answer", c.byDigest(1, "ada", answer(text, "wrong-password")))
	wantWrong(t, "a challenge that a wrong answer has used", c.byDigest(2, "ada", answer(text, oldPassword)))
	forged := []byte(c.challenge(0))
	forged[len(forged)-1] ^= 1
	wantWrong(t, "a forged challenge", c.byDigest(0, "ada", answer(string(forged), oldPassword)))
	wantWrong(t, "no challenge", c.byDigest(0, "ada", answer("c0:x", oldPassword)))
	wantWrong(t, "an unknown user", c.byDigest(0, "nobody", answer(c.challenge(0), oldPassword)))
}

// The time line of a challenge: 60 seconds, and at the 60th it is too old. The answer says so, and uses nothing up.
func TestAChallengeIsTooOldAfterAMinute(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 1, withProofs)
	c.addMD5User("ada", oldPassword)
	challenge := func() session.Challenge {
		got, err := c.nodes[0].IssueChallenge(t.Context(), session.Call{})
		if err != nil {
			t.Fatal(err)
		}
		if got.ExpiresAt.Sub(got.IssuedAt) != time.Minute {
			t.Fatalf("got %+v", got)
		}
		return got
	}
	now := func() time.Time {
		s, err := c.nodes[0].ClusterStatus(t.Context(), operator)
		if err != nil {
			t.Fatal(err)
		}
		return s.Time
	}
	c.freeze()
	old, young := challenge(), challenge()
	c.clocks[0].advance(young.IssuedAt.Add(59*time.Second + 500*time.Millisecond).Sub(now()))
	if err := c.byDigest(0, "ada", answer(young.Text, oldPassword)); err != nil {
		t.Errorf("after 59.5 s: %v", err)
	}
	c.clocks[0].advance(500 * time.Millisecond)
	for _, d := range []*session.Digest{answer(old.Text, oldPassword), answer(old.Text, "wrong-password"), answer(young.Text, oldPassword)} {
		eventually(t, "the challenge to be too old", func() error {
			err := c.byDigest(0, "ada", d)
			var e *session.Error
			if errors.As(err, &e) && e.Code == session.CodeUnauthenticated && e.Field == session.FieldChallenge {
				return nil
			}
			return fmt.Errorf("got %w", err)
		})
	}
}

// A leader is killed between a challenge and its answer, and then after the answer.
func TestAChallengeSurvivesALeaderAndItsUseToo(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, withProofs)
	c.addMD5User("ada", oldPassword)
	leader := c.leader()
	text, used := c.challenge(leader), c.challenge((leader+1)%3)
	if err := c.byDigest(leader, "ada", answer(used, oldPassword)); err != nil {
		t.Fatal(err)
	}
	c.isolate(leader)
	others := []int{(leader + 1) % 3, (leader + 2) % 3}
	eventually(t, "a log-in under another leader", func() error {
		err := c.byDigest(others[0], "ada", answer(text, oldPassword))
		if session.CodeOf(err) == session.CodeUnauthenticated {
			t.Fatalf("%v: the challenge was used up by an attempt that did not become known", err)
		}
		return err
	})
	for _, i := range others {
		wantWrong(t, "a used challenge", c.byDigest(i, "ada", answer(text, oldPassword)))
		wantWrong(t, "one that the old leader took", c.byDigest(i, "ada", answer(used, oldPassword)))
	}
	c.heal()
	eventually(t, "the old leader to know", func() error {
		if err := c.byDigest(leader, "ada", answer(text, oldPassword)); session.CodeOf(err) != session.CodeUnauthenticated {
			return fmt.Errorf("got %w", err)
		}
		return nil
	})
}

// The same answer at two nodes at the same moment is taken once.
func TestOneAnswerAtTwoNodesIsTakenOnce(t *testing.T) {
	t.Parallel()
	rounds := 1000
	if testing.Short() || electionTimeout > time.Second {
		rounds = 100
	}
	c := startTrio(t, 3, withProofs)
	c.addMD5User("ada", oldPassword)
	const atOnce = 8
	var work sync.WaitGroup
	var taken, twice atomic.Int64
	for w := range atOnce {
		work.Go(func() {
			for i := range rounds / atOnce {
				issued, err := c.nodes[(w+i)%3].IssueChallenge(t.Context(), session.Call{})
				if err != nil {
					t.Errorf("challenge: %v", err)
					return
				}
				d := answer(issued.Text, oldPassword)
				var good atomic.Int64
				var both sync.WaitGroup
				for _, at := range []int{(w + i) % 3, (w + i + 1) % 3} {
					both.Go(func() {
						if _, err := c.nodes[at].Identify(t.Context(), session.Call{Credentials: &session.Credentials{User: "ada", Digest: d}}); err == nil {
							good.Add(1)
						} else if session.CodeOf(err) != session.CodeUnauthenticated {
							t.Errorf("identify: %v", err)
						}
					})
				}
				both.Wait()
				taken.Add(min(1, good.Load()))
				if good.Load() > 1 {
					twice.Add(1)
				}
			}
		})
	}
	work.Wait()
	if want := int64(rounds / atOnce * atOnce); twice.Load() != 0 || taken.Load() != want {
		t.Errorf("of %d answers %d were taken, %d of them twice", want, taken.Load(), twice.Load())
	}
}

// By MD5 nobody logs in for whom an admin has not allowed it; what allows it follows the password, and is gone when it is taken back.
func TestLoginsByMD5(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 1, withProofs)
	byMD5 := func(password string) error {
		return c.byDigest(0, "ada", &session.Digest{MD5: strings.ToUpper(hexMD5(password))})
	}
	update := func(ch session.UserChange) {
		t.Helper()
		if _, err := c.nodes[0].UpdateUser(t.Context(), operator, "ada", ch); err != nil {
			t.Fatal(err)
		}
	}
	yes, no, other := true, false, "other-password"
	c.addUser("ada", oldPassword)
	wantWrong(t, "not allowed", byMD5(oldPassword))
	eventually(t, "MD5 to be allowed", func() error {
		_, err := c.nodes[0].UpdateUser(t.Context(), operator, "ada", session.UserChange{MD5Login: &yes})
		return err
	})
	wantWrong(t, "allowed, and nothing known yet", byMD5(oldPassword))
	c.wantTry(0, "ada", oldPassword, "192.0.2.7", "")
	eventually(t, "the log-in to have brought the verifier", func() error { return byMD5(oldPassword) })
	wantWrong(t, "another password", byMD5(other))
	update(session.UserChange{Password: &other})
	wantWrong(t, "the old password", byMD5(oldPassword))
	if err := byMD5(other); err != nil {
		t.Errorf("the new password: %v", err)
	}
	update(session.UserChange{MD5Login: &no})
	wantWrong(t, "not allowed any more", byMD5(other))
	if got, err := c.nodes[0].GetUser(t.Context(), operator, "ada"); err != nil || got.MD5Login {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestMD5NeedsASafePassword(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 1, nil)
	_, err := c.nodes[0].CreateUser(t.Context(), operator, session.NewUser{Name: "ada", Password: oldPassword, MD5Login: true})
	var e *session.Error
	if !errors.As(err, &e) || e.Code != session.CodeConflict || e.Field != "md5_login" || !strings.Contains(e.Message, "tokenizer.safe_password") {
		t.Errorf("got %v", err)
	}
	if _, err := c.nodes[0].IssueChallenge(t.Context(), session.Call{}); session.CodeOf(err) != session.CodeConflict {
		t.Errorf("a challenge that nobody can answer: %v", err)
	}
	if _, err := c.nodes[0].GetUser(t.Context(), operator, "ada"); session.CodeOf(err) != session.CodeNotFound {
		t.Errorf("the user was made: %v", err)
	}
}

// Digests pass the throttle that passwords pass, and are tested before anything is used up.
func TestDigestsAreThrottled(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, func(i int, conf *node.Config) {
		withProofs(i, conf)
		perUser(2)(i, conf)
		conf.Throttle.Window = time.Minute // the challenge does not live longer
	})
	c.addMD5User("ada", oldPassword)
	c.freeze()
	text := c.challenge(0)
	wantWrong(t, "a wrong MD5", c.byDigest(0, "ada", &session.Digest{MD5: hexMD5("wrong")}))
	wantWrong(t, "a wrong answer", c.byDigest(1, "ada", answer(c.challenge(1), "wrong")))
	for i := range 3 {
		if err := c.byDigest(i, "ada", answer(text, oldPassword)); session.CodeOf(err) != session.CodeThrottled {
			t.Errorf("node %d: %v", i+1, err)
		}
	}
	c.advance(31 * time.Second)
	eventually(t, "the same challenge to be good later", func() error { return c.byDigest(2, "ada", answer(text, oldPassword)) })
}

// Credentials end sessions by number, of their own user and no other, and make none.
func TestCredentialsEndSessions(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, withProofs)
	c.addMD5User("ada", oldPassword)
	c.addUser("bob", "bob-password")
	var keys []session.Key
	for range 3 {
		keys = append(keys, c.login(0, "ada", oldPassword).Key)
	}
	bob := c.login(0, "bob", "bob-password")
	call := func() session.Call {
		return session.Call{Address: from("192.0.2.9").Address, Credentials: &session.Credentials{User: " ADA", Digest: answer(c.challenge(0), oldPassword)}}
	}
	who, err := c.nodes[1].Identify(t.Context(), call())
	if err != nil || who.User != "ada" || fmt.Sprint(who.Roles) != "[user]" {
		t.Fatalf("got %+v, %v", who, err)
	}
	if r, err := c.nodes[1].RevokeUserSessions(t.Context(), call(), "ada", session.UserSessions{Numbers: []uint64{2, 2, 99}}); err != nil || r.Count != 1 {
		t.Fatalf("got %+v, %v", r, err)
	}
	for i, k := range keys {
		_, err := c.nodes[2].Check(t.Context(), with(k), true)
		if (err == nil) != (i != 1) {
			t.Errorf("session %d: %v", i+1, err)
		}
	}
	for _, which := range []session.UserSessions{{}, {Numbers: []uint64{1}}} {
		if _, err := c.nodes[1].RevokeUserSessions(t.Context(), call(), "bob", which); session.CodeOf(err) != session.CodeForbidden {
			t.Errorf("another user's: %v", err)
		}
	}
	if r, err := c.nodes[1].RevokeUserSessions(t.Context(), call(), "ada", session.UserSessions{}); err != nil || r.Count != 2 {
		t.Errorf("all: %+v, %v", r, err)
	}
	if _, err := c.nodes[0].Check(t.Context(), bob, true); err != nil {
		t.Errorf("bob's session: %v", err)
	}
	wrong := session.Call{Credentials: &session.Credentials{User: "ada", Password: "wrong-password"}}
	if _, err := c.nodes[1].RevokeUserSessions(t.Context(), wrong, "ada", session.UserSessions{}); session.CodeOf(err) != session.CodeUnauthenticated {
		t.Errorf("a wrong password: %v", err)
	}
	_, err = c.nodes[1].Check(t.Context(), session.Call{Credentials: &session.Credentials{User: "ada", Password: oldPassword}}, true)
	if session.CodeOf(err) != session.CodeInvalid {
		t.Errorf("a session of credentials: %v", err)
	}
	many := session.UserSessions{Numbers: make([]uint64, session.MaxSessionNumbers+1)}
	if _, err := c.nodes[1].RevokeUserSessions(t.Context(), call(), "ada", many); session.CodeOf(err) != session.CodeTooLarge {
		t.Errorf("too many numbers: %v", err)
	}
}

// Neither the MD5 of a password nor the secret of an hour is on any disk in the clear, nor a challenge that was used.
func TestProofsAreNotOnDisk(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 1, withProofs)
	c.addMD5User("ada", oldPassword)
	text := c.challenge(0)
	if err := c.byDigest(0, "ada", answer(text, oldPassword)); err != nil {
		t.Fatal(err)
	}
	c.stop(0)
	sum := md5.Sum([]byte(oldPassword))
	found := false
	err := filepath.WalkDir(c.dirs[0], func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		for _, secret := range []string{string(sum[:]), hexMD5(oldPassword), text, text[strings.LastIndex(text, ":")+1:], oldPassword} {
			if strings.Contains(string(data), secret) {
				t.Errorf("%s holds one of the secrets", filepath.Base(path))
			}
		}
		found = found || strings.Contains(string(data), "ada")
		return err
	})
	if err != nil || !found {
		t.Errorf("the search has found nothing at all: %v", err)
	}
}

// New safe passwords reach the verifiers, too.
func TestVerifiersAreSealedAnew(t *testing.T) {
	t.Parallel()
	var password atomic.Value
	password.Store("a safe password")
	c := startTrio(t, 1, func(i int, conf *node.Config) {
		withProofs(i, conf)
		if now := password.Load().(string); now != conf.Sealing.Password {
			conf.Sealing.Password, conf.Sealing.Previous = now, []string{conf.Sealing.Password}
		}
	})
	c.addMD5User("ada", oldPassword)
	c.addMD5User("bob", oldPassword)
	yes := true
	if _, err := c.nodes[0].PatchPolicy(t.Context(), operator, "default", session.PolicyChange{PermanentAllowed: &yes}); err != nil {
		t.Fatal(err)
	}
	permanent := session.Login{User: "ada", Vouched: true, Permanent: true, Sealed: values("token", "7")}
	kept, err := c.nodes[0].Login(t.Context(), operator, permanent)
	if err != nil {
		t.Fatal(err)
	}
	c.stop(0)
	password.Store("another safe password")
	c.start(0)
	c.awaitReady(0)
	var done int
	eventually(t, "everything to be sealed anew", func() error {
		for cursor := ""; ; {
			r, err := c.nodes[0].Reseal(t.Context(), operator, cursor)
			if err != nil {
				return err
			}
			done += r.Count
			if cursor = r.NextCursor; cursor == "" {
				if r.Left != 0 {
					return fmt.Errorf("%d are left", r.Left)
				}
				return nil
			}
		}
	})
	if done != 3 {
		t.Errorf("%d were sealed anew, want two users' and a permanent session's", done)
	}
	if got, err := c.nodes[0].Check(t.Context(), with(kept.Key), true); err != nil || string(got.Sealed["token"]) != "7" {
		t.Errorf("got %+v, %v", got, err)
	}
	if err := c.byDigest(0, "ada", &session.Digest{MD5: hexMD5(oldPassword)}); err != nil {
		t.Error(err)
	}
	if _, err := c.nodes[0].Reseal(t.Context(), operator, "u.***"); session.CodeOf(err) != session.CodeInvalid {
		t.Errorf("a cursor of nothing: %v", err)
	}
}

// TestChallengesOutliveASafePassword: the hour's secret is sealed with a safe password that no node has any more. There are challenges all the same.
func TestChallengesOutliveASafePassword(t *testing.T) {
	t.Parallel()
	var safe atomic.Pointer[auth.Sealing]
	cheap := auth.Params{MemoryKiB: 64, Iterations: 1, Parallelism: 1}
	safe.Store(&auth.Sealing{Password: "a safe password", Params: cheap})
	c := startTrio(t, 1, func(i int, conf *node.Config) {
		withProofs(i, conf)
		conf.Sealing = *safe.Load()
	})
	c.addMD5User("ada", oldPassword)
	before := c.challenge(0)
	for _, next := range []auth.Sealing{
		{Password: "another safe password", Previous: []string{"a safe password"}, Params: cheap}, {Password: "another safe password", Params: cheap},
	} {
		c.stop(0)
		safe.Store(&next)
		c.start(0)
		c.awaitReady(0)
		if len(next.Previous) > 0 {
			eventually(t, "the verifier to be sealed anew", func() error {
				for cursor := ""; ; {
					r, err := c.nodes[0].Reseal(t.Context(), operator, cursor)
					if err != nil {
						return err
					}
					if cursor = r.NextCursor; cursor == "" {
						return nil
					}
				}
			})
		}
	}
	text := c.challenge(0)
	if err := c.byDigest(0, "ada", answer(text, oldPassword)); err != nil {
		t.Errorf("a challenge after that: %v", err)
	}
	wantWrong(t, "a used challenge", c.byDigest(0, "ada", answer(text, oldPassword)))
	wantWrong(t, "a challenge of before", c.byDigest(0, "ada", answer(before, oldPassword)))
}
