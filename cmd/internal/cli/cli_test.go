package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hydrastore/hydrastore/cmd/internal/cli"
	"github.com/hydrastore/hydrastore/session"
)

const (
	id1 = "00000000000000000000000004" // of someSession(1)
	id2 = "00000000000000000000000008"
)

// TestCommands runs every command as a logged-in admin and looks at what is printed and what the cluster was asked.
func TestCommands(t *testing.T) {
	t.Parallel()
	if got := (session.ID{15: 1}).String(); got != id1 {
		t.Fatalf("the id in these tests is %s, should be %s", id1, got)
	}
	current := filepath.Join(t.TempDir(), "current")
	if err := os.WriteFile(current, []byte("the-first-one\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		line, stdin string
		out         []string // parts of standard output
		asked       string   // the changes at the cluster
	}{
		{line: "whoami", out: []string{"user          ada", "roles         admin", "expires       2027-01-15 08:31:00Z", `{"cart":[1]}`}},
		{line: "whoami", out: []string{"proved        2027-01-15 08:00:00Z by password"}},
		{line: "whoami -o json", out: []string{`"auth_time": "2027-01-15T08:00:00Z"`, `"rotate": false`, `"user": "ada"`, `"idle_timeout_s": 1800`, `"expires_at": "2027-01-15T08:31:00Z"`}},
		{line: "session list", out: []string{"ID ", id1, "192.0.2.7", "bob\uFFFD[2J"}, asked: "list {User: ClientAddress:invalid IP Policy: IdleLongerThan:0s Permanent:false}"},
		{line: "session list --limit 2", out: []string{"only the first 2; --limit 0 shows all"}},
		{line: "session list -o json --of-user ada --client-ip 192.0.2.7 --policy web --idle-longer-than 10m", out: []string{`"items": [`, `"next_cursor": null`},
			asked: "list {User:ada ClientAddress:192.0.2.7 Policy:web IdleLongerThan:10m0s Permanent:false}"},
		{line: "session show " + id1, out: []string{"user          ada"}},
		{line: "session revoke " + id1 + " " + id2, out: []string{"2 sessions ended"}, asked: "revoke " + id1 + "; revoke " + id2},
		{line: "session revoke --of-user bob", out: []string{"3 sessions ended"}, asked: "revoke where user=bob policy="},
		{line: "session revoke --all -o json", out: []string{`"revoked": 3`}, asked: "revoke where user= policy="},
		{line: "user add eve --role service,user --policy web --new-password-file -", stdin: "long-enough\n", out: []string{"user eve made, with the roles service,user"},
			asked: `add eve [service user] [web] password="long-enough"`},
		{line: "user add eve --no-password", out: []string{"user eve made"}, asked: `add eve [user] [] password=""`},
		{line: "user passwd eve --new-password-file -", stdin: "long-enough", out: []string{"the password of eve is set"}, asked: "update eve password=long-enough"},
		{line: "user passwd --current-password-file " + current + " --new-password-file -", stdin: "long-enough", out: []string{"your password is set"},
			asked: "update ada password=long-enough in place of the-first-one"},
		{line: "user add eve --no-password --md5-login", asked: `add eve [user] [] password="" md5_login`},
		{line: "user set eve --policy web,default --role user --md5-login", out: []string{"user eve is changed"}, asked: "update eve roles=[user] policies=[web default] md5_login=true"},
		{line: "user set eve --md5-login=false", asked: "update eve md5_login=false"},
		{line: "user list", out: []string{"USER", "ada   user   default   enabled  set"}},
		{line: "user show eve", out: []string{"disabled"}},
		{line: "user disable eve", out: []string{"user eve is disabled"}, asked: "update eve disabled=true"},
		{line: "user enable eve", out: []string{"user eve is enabled"}, asked: "update eve disabled=false"},
		{line: "user delete eve bob", out: []string{"2 users removed"}, asked: "delete eve; delete bob"},
		{line: "policy list", out: []string{"default  30m           12h                none                56.25s"}},
		{line: "session list --permanent", asked: "list {User: ClientAddress:invalid IP Policy: IdleLongerThan:0s Permanent:true}"},
		{line: "user passwd eve --end-permanent --new-password-file -", stdin: "long-enough", asked: "update eve password=long-enough end_permanent"},
		{line: "policy get default", out: []string{"idle timeout           30m", "bound to address       off", "permanent sessions     no"}},
		{line: "policy set default --inactivity-timeout 1h --no-tickle=true --bind-address strict --permanent-allowed=false --longer-idle-allowed=true",
			asked: "patch default inactivity=1h0m0s,no_tickle=true,bind=strict,permanent=false,longer_idle=true"},
		{line: "policy get default -o json", out: []string{`"touch_window_s": -1`, `"effective_touch_window_s": 56.25`}},
		{line: "policy set default --idle-timeout 15m", out: []string{"changed"}, asked: "patch default idle=15m0s"},
		{line: "policy presets", out: []string{"netx               30m           none               1h                  1s", "high-value"}},
		{line: "policy presets -o json", out: []string{`"inactivity_timeout_s": 3600`}},
		{line: "policy set default --preset high-value --idle-timeout 4m", asked: "patch default idle=4m0s,absolute=4h0m0s,window=-1ns,inactivity=0s,grace=30s,no_tickle=false,bind=log,permanent=false,longer_idle=false,attributes=shared,keys=native," +
			"per_user=0,per_address=0,max=0,on_limit=refuse,single=false,permanent_counted=false"},
		{line: "policy set web --touch-window auto", out: []string{"web", "made"}, asked: "put web window=-1ns"},
		{line: "policy set default --absolute-lifetime none", asked: "patch default absolute=0s"},
		{line: "policy set default --max-sessions-per-user 5 --max-sessions-per-address none --max-sessions 1000 --on-limit evict_idle --single-session=true --permanent-counted=true",
			asked: "patch default per_user=5,per_address=0,max=1000,on_limit=evict_idle,single=true,permanent_counted=true"},
		{line: "limits get", out: []string{"SESSIONS IN ALL  AT THE LIMIT", "any              refuse"}},
		{line: "limits set --max-sessions 100 --on-limit evict_oldest", out: []string{"100              evict_oldest", "changed"}, asked: "limits max=100 on_limit=evict_oldest"},
		{line: "limits set --max-sessions none -o json", out: []string{`"max_sessions": 0`, `"on_limit": "refuse"`, `"version": 9`}, asked: "limits max=0 on_limit=refuse"},
		{line: "policy set default --rotate-grace 10s", asked: "patch default grace=10s"},
		{line: "policy set default --rotate-grace none", asked: "patch default grace=0s"},
		{line: "policy set default --attributes local", asked: "patch default attributes=local"},
		{line: "policy set default --key-format hex32", asked: "patch default keys=hex32"},
		{line: "policy get default", out: []string{"keys                   native"}},
		{line: "policy delete web", out: []string{"policy web removed"}, asked: "delete policy web"},
		{line: "cluster members", out: []string{"one   a1  leader    healthy  alive    0", "two   b2  follower  FAILING  suspect  -    20ms", "leader one, term 3, index 40, 2 sessions, 1 server may be lost"}},
		{line: "cluster members -o json", out: []string{`"leader_id": "a1"`, `"lag": null`, `"last_contact_s": 0.02`}},
		{line: "cluster add four:8701", out: []string{"four:8701 is invited"}, asked: "add member four:8701"},
		{line: "cluster remove two", out: []string{"two is removed"}, asked: "remove b2"},
		{line: "cluster remove b2", asked: "remove b2"},
		{line: "cluster transfer", out: []string{"leadership is handed to another server"}, asked: `transfer to ""`},
		{line: "cluster transfer two -o json", out: []string{`"done": true`}, asked: `transfer to "b2"`},
		{line: "cluster reseal", out: []string{"5 values are sealed anew, 0 are left"}, asked: `reseal from ""; reseal from "c1"`},
		{line: "cluster reseal -o json", out: []string{`"resealed": 5`, `"left": 0`}, asked: `reseal from ""; reseal from "c1"`},
		{line: "logout", out: []string{"logged out"}, asked: "logout"},
		{line: "health", out: []string{"ready"}},
		{line: "version", out: []string{"v1.2.3"}},
		{line: "version -o json", out: []string{`"version": "v1.2.3"`}},
		{line: "completion bash", out: []string{"__start_hydrastore"}},
		{line: "completion zsh", out: []string{"#compdef hydrastore"}},
		{line: "completion fish", out: []string{"complete -c hydrastore"}},
		{line: "completion powershell", out: []string{"Register-ArgumentCompleter"}},
		{line: "config check", out: []string{"ok: no file, the environment and flags"}},
		{line: "", out: []string{"A clustered store for log-in sessions", "Exit codes"}},
		{line: "session revoke --help", out: []string{"Ends the named sessions", "-o, --output"}},
	}
	for _, c := range cases {
		t.Run(c.line, func(t *testing.T) {
			t.Parallel()
			x := newTerminal(t)
			x.stdin = password
			x.must("login ada --password-file -")
			x.stdin = c.stdin
			stdout := x.must(c.line)
			for _, want := range c.out {
				if !strings.Contains(stdout, want) {
					t.Errorf("got:\n%s\nwant in it: %q", stdout, want)
				}
			}
			if got := x.fake.changes(); c.asked != "" && got != "login ada ; "+c.asked {
				t.Errorf("asked: %s\nwant: login ada ; %s", got, c.asked)
			}
			if strings.Contains(c.line, "-o json") && !json.Valid([]byte(stdout)) {
				t.Errorf("this is no JSON:\n%s", stdout)
			}
		})
	}
}

// TestResealWhereNobodyCounts says how to find out instead.
func TestResealWhereNobodyCounts(t *testing.T) {
	t.Parallel()
	x := newTerminal(t)
	x.stdin = password
	x.must("login ada --password-file -")
	x.fake.uncounted = true
	if got := x.must("cluster reseal"); !strings.Contains(got, "3 values are sealed anew. Nobody counts what is left here") || strings.Contains(got, "are left") {
		t.Errorf("got %q", got)
	}
	if got := x.must("cluster reseal -o json"); !strings.Contains(got, `"resealed": 3`) || !strings.Contains(got, `"left": null`) {
		t.Errorf("got %q", got)
	}
	x.fake.resealed = true
	if got := x.must("cluster reseal"); got != "0 values are sealed anew\n" {
		t.Errorf("got %q", got)
	}
}

// TestLoginAsksForTimers: a session may ask for a life of its own.
func TestLoginAsksForTimers(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"--permanent --policy app": "login ada app permanent", "--idle-timeout 90s": "login ada  idle=1m30s", "--idle-timeout none": "login ada  idle=0s",
	} {
		x := newTerminal(t)
		x.stdin = password
		x.must("login ada --password-file - " + line)
		if got := x.fake.changes(); got != want {
			t.Errorf("%s: asked %q, want %q", line, got, want)
		}
	}
	x := newTerminal(t)
	if _, stderr, code := x.run("login ada --idle-timeout soon"); code != cli.ExitUsage || !strings.Contains(stderr, "a duration such as 90s") {
		t.Errorf("a wrong duration: exit code %d, %s", code, stderr)
	}
}

// TestMistakes lists what people get wrong on the command line: exit code, and a part of the sentence that they are told.
func TestMistakes(t *testing.T) {
	t.Parallel()
	cases := []struct {
		line, stdin string
		environ     string
		code        int
		want        string
	}{
		{line: "sesion", code: cli.ExitUsage, want: `there is no command "hydrastore sesion"; did you mean session?`},
		{line: "session", code: cli.ExitUsage, want: "say what to do: hydrastore session list|reauthenticate|revoke|rotate|show"},
		{line: "session lst", code: cli.ExitUsage, want: `there is no command "hydrastore session lst"; did you mean list?`},
		{line: "whoami --nope", code: cli.ExitUsage, want: "unknown flag: --nope"},
		{line: "session rotate --socket /none", code: cli.ExitUsage, want: "no session to rotate"},
		{line: "session reauthenticate --user ada", code: cli.ExitUsage, want: "leave out --user"},
		{line: "whoami -z", code: cli.ExitUsage, want: "unknown shorthand flag"},
		{line: "whoami extra", code: cli.ExitUsage, want: "use it as: hydrastore whoami"},
		{line: "whoami -o xml", code: cli.ExitUsage, want: "use json or table"},
		{line: "whoami -us", code: cli.ExitUsage, want: "flag needs an argument: --session-key"},
		{line: "whoami --timeout 0s", code: cli.ExitUsage, want: "--timeout must be positive"},
		{line: "whoami --timeout soon", code: cli.ExitUsage, want: "invalid argument"},
		{line: "whoami --address nowhere/x", code: cli.ExitUsage, want: "is no address of a node"},
		{line: "whoami --address a:1 --socket b", code: cli.ExitUsage, want: "not both"},
		{line: "whoami --user ada --session-key hs_x", code: cli.ExitUsage, want: "give --user or --session-key, not both"},
		{line: "whoami --password x", code: cli.ExitUsage, want: "it needs --user"},
		{line: "whoami --password-file -", environ: "HYDRASTORE_SESSION_KEY=x", code: cli.ExitUsage, want: "it needs --user"},
		{line: "whoami --session-key hs_x --password x", code: cli.ExitUsage, want: "it needs --user"},
		{line: "cluster members --socket /none --password x", code: cli.ExitUsage, want: "nobody logs in"},
		{line: "whoami --issue-key", code: cli.ExitUsage, want: "--issue-key needs --user"},
		{line: "whoami --user ada", code: cli.ExitUsage, want: "a password is needed: use --password-file"},
		{line: "whoami --user ada --password x --password-file y", code: cli.ExitUsage, want: "not both"},
		{line: "whoami --user ada --password-file /none", code: cli.ExitUsage, want: "/none cannot be read: no such file"},
		{line: "whoami --user ada --password-file -", code: cli.ExitUsage, want: "there is no password in the first line"},
		{line: "whoami --ca-file /none", code: cli.ExitUsage, want: "--ca-file: open /none"},
		{line: "whoami --session-key hello", code: cli.ExitUnauthenticated, want: "the session key is missing or not valid"},
		{line: "whoami", code: cli.ExitUnauthenticated, want: "you are not logged in"},
		{line: "whoami", environ: "HYDRASTORE_SESSION_KEY=x", code: cli.ExitUnauthenticated, want: "not valid"},
		{line: "whoami --socket /none", code: cli.ExitUsage, want: "you are the operator"},
		{line: "cluster members --socket /none --timeout 1s", code: cli.ExitUnavailable, want: "cannot be reached"},
		{line: "cluster members --socket /none --user ada", code: cli.ExitUsage, want: "nobody logs in"},
		{line: "login", code: cli.ExitUsage, want: "who? hydrastore login USER"},
		{line: "policy set web --preset best --socket /none", code: cli.ExitUsage, want: "--preset: use one of faircom"},
		{line: "policy set web --no-tickle=5", code: cli.ExitUsage, want: "use true or false"},
		{line: "user set eve", code: cli.ExitUsage, want: "nothing to change"},
		{line: "login ada --user bob", code: cli.ExitUsage, want: "two users are named"},
		{line: "login ada --socket x", code: cli.ExitUsage, want: "not with --socket"},
		{line: "login ada --password-file -", stdin: "wrong", code: cli.ExitUnauthenticated, want: "the user name or password is not right"},
		{line: "login ada", environ: "HYDRASTORE_PASSWORD=wrong", code: cli.ExitUnauthenticated, want: "not right"},
		{line: "session show", code: cli.ExitUsage, want: "use it as: hydrastore session show ID"},
		{line: "completion tcsh", code: cli.ExitUsage, want: "invalid argument"},
		{line: "bench", code: cli.ExitUsage, want: "use it as: hydrastore bench"},
		{line: "bench read", code: cli.ExitUsage, want: "invalid argument"},
		{line: "bench check --clients 0", code: cli.ExitUsage, want: "--clients is 0, must be 1 to 4096"},
		{line: "bench check --consistency weak", code: cli.ExitUsage, want: "use linearizable or local"},
		{line: "bench check-extend --consistency local", code: cli.ExitUsage, want: "extends nothing"},
		{line: "config check /none.yaml", code: cli.ExitUsage, want: "/none.yaml: cannot be read: no such file"},
		{line: "config check --log-level loud", code: cli.ExitUsage, want: `--log-level: log.level: use debug`},
		{line: "config check", environ: "HYDRASTORE_NODE_NMAE=x", code: cli.ExitUsage, want: "did you mean HYDRASTORE_NODE_NAME?"},
		{line: "server --api-listen nowhere", code: cli.ExitUsage, want: "--api-listen: api.listen: host:port is needed"},
		{line: "server", environ: "HYDRASTORE_ADMIN_PASSWORD=short", code: cli.ExitUsage, want: "HYDRASTORE_ADMIN_PASSWORD: a password has at least 8 characters"},
		{line: "server", environ: "HYDRASTORE_ADMIN_PASSWORD_FILE=/none", code: cli.ExitUsage, want: "/none cannot be read"},
		{line: "server --config=", code: cli.ExitUsage, want: "the name of a file is needed"},
		{line: "dev --once --config=", code: cli.ExitUsage, want: "the name of a file is needed"},
		{line: "server extra", code: cli.ExitUsage, want: "use it as: hydrastore server"},
		{line: "dev --port-base 70000 --once", code: cli.ExitUsage, want: "--port-base is 70000"},
	}
	for _, c := range cases {
		t.Run(c.line, func(t *testing.T) {
			t.Parallel()
			x := newTerminal(t)
			if strings.Contains(c.line, "--socket") || strings.Contains(c.line, "--address") {
				x.environ = []string{"HYDRASTORE_LOGIN_FILE=" + x.login}
			}
			x.environ = append(x.environ, c.environ)
			x.stdin = c.stdin
			stdout, stderr, code := x.run(c.line)
			if code != c.code || !strings.Contains(stderr, c.want) || !strings.HasPrefix(stderr, "hydrastore: ") {
				t.Errorf("got exit code %d and\n%s\nwant %d and %q in it", code, stderr, c.code, c.want)
			}
			if stdout != "" {
				t.Errorf("standard output is not empty: %q", stdout)
			}
		})
	}
}

// TestRefusalsOfTheCluster gives the exit code of each kind of error that a cluster may answer.
func TestRefusalsOfTheCluster(t *testing.T) {
	t.Parallel()
	cases := map[session.Code]int{
		session.CodeForbidden: cli.ExitFailure, session.CodeNotFound: cli.ExitFailure, session.CodeExists: cli.ExitFailure,
		session.CodeConflict: cli.ExitFailure, session.CodeInternal: cli.ExitFailure, session.CodeInvalid: cli.ExitUsage,
		session.CodeTooLarge: cli.ExitUsage, session.CodeUnauthenticated: cli.ExitUnauthenticated,
		session.CodeNoQuorum: cli.ExitUnavailable, session.CodeUnavailable: cli.ExitUnavailable, session.CodeOutcomeUnknown: cli.ExitUnavailable,
	}
	for code, want := range cases {
		t.Run(string(code), func(t *testing.T) {
			t.Parallel()
			x := newTerminal(t)
			x.stdin = password
			x.must("login ada --password-file -")
			x.fake.mu.Lock()
			x.fake.failure = session.Errorf(code, "so it is")
			x.fake.mu.Unlock()
			_, stderr, got := x.run("user disable eve --timeout 300ms")
			if got != want || stderr == "" {
				t.Errorf("got exit code %d, want %d: %s", got, want, stderr)
			}
		})
	}
}

func TestOneBadIDRevokesNothing(t *testing.T) {
	t.Parallel()
	x := newTerminal(t)
	x.stdin = password
	x.must("login ada --password-file -")
	for _, line := range []string{"session revoke " + id1 + " nonsense", "session revoke", "session revoke --all --of-user bob", "session revoke --client-ip here"} {
		if _, stderr, code := x.run(line); code != cli.ExitUsage {
			t.Errorf("%s: got exit code %d, want 2: %s", line, code, stderr)
		}
	}
	if got := x.fake.changes(); got != "login ada " {
		t.Errorf("asked: %s; want the log-in alone", got)
	}
}

func TestLoginIsSavedForItsOwnerAlone(t *testing.T) {
	t.Parallel()
	x := newTerminal(t)
	x.stdin = password + "\n"
	out := x.must("login Ada --password-file - --policy web")
	if !strings.Contains(out, "its key is saved in "+x.login) || strings.Contains(out, session.KeyPrefix) {
		t.Errorf("got %s; want the file named and no key", out)
	}
	info, err := os.Stat(x.login)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v, want 0600", info.Mode())
	}
	if got := x.fake.changes(); got != "login Ada web" {
		t.Errorf("asked: %s", got)
	}
	if err := os.Chmod(x.login, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := x.run("whoami"); code != cli.ExitUsage || !strings.Contains(stderr, "others can read") {
		t.Errorf("a readable file: got exit code %d: %s", code, stderr)
	}
}

// A rotated key is kept where the one before was: in the file, or with whoever named it.
func TestRotationKeepsTheKeyWhereItWas(t *testing.T) {
	t.Parallel()
	x := newTerminal(t)
	x.stdin = password
	x.must("login ada --password-file -")
	for _, line := range []string{"session rotate", "session reauthenticate --password-file -"} {
		out, stderr, code := x.run(line)
		if code != cli.ExitOK || !strings.Contains(out, "its key is saved in "+x.login) || strings.Contains(out+stderr, session.KeyPrefix) {
			t.Fatalf("%s: got exit code %d, %s%s", line, code, out, stderr)
		}
		x.must("whoami")
	}
	other := issuedKey(t, x, "session list -un bob -up "+password+" -us")
	_, stderr, code := x.run("session rotate --session-key " + other)
	next := strings.TrimSpace(stderr)
	if _, err := session.ParseKey(next); code != cli.ExitOK || err != nil || next == other {
		t.Fatalf("got exit code %d and %q", code, stderr)
	}
	x.must("whoami -us " + next)
	x.must("whoami")
	x.stdin = "wrong"
	if _, stderr, code := x.run("session reauthenticate --password-file -"); code != cli.ExitUnauthenticated || strings.Contains(stderr, "hydrastore login") {
		t.Errorf("a wrong password: got exit code %d and %s", code, stderr)
	}
}

func TestLogoutForgetsTheSavedKeyOnlyWhenItIsTheOne(t *testing.T) {
	t.Parallel()
	x := newTerminal(t)
	x.stdin = password
	x.must("login ada --password-file -")
	other := issuedKey(t, x, "session list -un bob -up "+password+" -us")
	x.must("logout -us " + other)
	x.must("whoami")
	x.must("logout")
	if _, err := os.Stat(x.login); !os.IsNotExist(err) {
		t.Errorf("the file is still there: %v", err)
	}
	if _, _, code := x.run("whoami"); code != cli.ExitUnauthenticated {
		t.Errorf("after logout: got exit code %d, want 3", code)
	}
}

// issuedKey runs a line with -us and takes the key: alone on one line of standard error.
func issuedKey(t *testing.T, x *terminal, line string) string {
	t.Helper()
	stdout, stderr, code := x.run(line)
	if code != cli.ExitOK || !regexp.MustCompile(`^[0-9a-f]{32}\n$`).MatchString(stderr) {
		t.Fatalf("%s: got exit code %d and %q on standard error, want a key alone", line, code, stderr)
	}
	if strings.Contains(stdout, strings.TrimSpace(stderr)) {
		t.Errorf("%s: the key is on standard output", line)
	}
	return strings.TrimSpace(stderr)
}

func TestLoginForOneCommandEndsWithIt(t *testing.T) {
	t.Parallel()
	x := newTerminal(t)
	x.must("whoami -un ada -up " + password)
	if got := x.fake.changes(); got != "login ada ; logout" {
		t.Errorf("asked: %s; want log-in and log-out", got)
	}
	if _, _, code := x.run("session show " + id2 + " -un ada -up " + password); code != cli.ExitFailure {
		t.Errorf("a session that does not exist: got exit code %d, want 1", code)
	}
	if n := len(x.fake.alive); n != 0 {
		t.Errorf("%d sessions were left alive", n)
	}
}

func TestIssuedKeyWorksWithoutLogin(t *testing.T) {
	t.Parallel()
	x := newTerminal(t)
	key := issuedKey(t, x, "login -un ada -up "+password+" -us")
	if _, err := os.Stat(x.login); !os.IsNotExist(err) {
		t.Errorf("the log-in was saved too: %v", err)
	}
	x.must("whoami -us " + key)
	x.environ = append(x.environ, "HYDRASTORE_SESSION_KEY="+key)
	x.must("whoami")
}

func TestNextAddressWhenOneIsDown(t *testing.T) {
	t.Parallel()
	x := newTerminal(t)
	alive := strings.TrimPrefix(x.environ[0], "HYDRASTORE_ADDRESS=")
	x.must("whoami -un ada -up " + password + " --address 127.0.0.1:1," + alive)
}

func TestHealthSaysNotReady(t *testing.T) {
	t.Parallel()
	x := newTerminal(t)
	x.fake.failure = session.Errorf(session.CodeUnavailable, "the node is starting")
	if _, stderr, code := x.run("health"); code != cli.ExitUnavailable || !strings.Contains(stderr, "the node is starting") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("got exit code %d and %q, want 4 and one line", code, stderr)
	}
}

// TestWrongPasswordIsNotAnsweredWithLogIn: the hint that helps others would only be confusing.
func TestWrongPasswordIsNotAnsweredWithLogIn(t *testing.T) {
	t.Parallel()
	x := newTerminal(t)
	for _, line := range []string{"login ada --password wrong", "whoami -un ada -up wrong"} {
		if _, stderr, code := x.run(line); code != cli.ExitUnauthenticated || strings.Contains(stderr, "Log in with") {
			t.Errorf("%s: got exit code %d: %s", line, code, stderr)
		}
	}
	if _, stderr, _ := x.run("whoami"); !strings.Contains(stderr, "Log in with: hydrastore login NAME") {
		t.Errorf("without a log-in: got %s", stderr)
	}
}
