package e2e_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// TestFlowTraqsCommandLine: the real binary issues a key at a cluster as FlowTraq's tools do, another node takes it, from the same address
// alone, and a log-out at a third ends it.
func TestFlowTraqsCommandLine(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, func(_ int, settings fields) { settings["userdata"] = fields{"maxsessionkeyage": 120} })
	c.must(0, http.StatusCreated, request{method: http.MethodPost, path: "/v1/users", key: c.admin(),
		body: fields{"user": "ada", "password": userPassword, "policies": []string{"default", "flowtraq"}}})
	at := func(i int, line string) outcome {
		return command{args: words(line + " --address " + c.nodes[i].api), environ: []string{"HYDRASTORE_PASSWORD=" + userPassword}}.run(t)
	}
	issued := at(0, "session list -un ada -us --of-user ada -o json")
	key := strings.TrimSuffix(issued.stderr, "\n")
	if issued.code != 0 || !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(key) || strings.Contains(issued.stdout, key) || !strings.HasPrefix(issued.stdout, "{") {
		t.Fatalf("exit code %d, standard error %q, standard output %s; want a key alone on standard error", issued.code, issued.stderr, issued.stdout)
	}
	if used := at(1, "whoami -us "+key); used.code != 0 || !strings.Contains(used.stdout, "flowtraq") || used.stderr != "" {
		t.Errorf("at node 2: %+v", used)
	}
	r := check(key)
	r.headers = map[string]string{"X-Forwarded-For": away}
	c.must(1, http.StatusUnauthorized, r)
	if ended := at(2, "logout -us "+key); ended.code != 0 {
		t.Errorf("log-out at node 3: %+v", ended)
	}
	if dead := at(0, "whoami -us "+key); dead.code != 3 || dead.stdout != "" {
		t.Errorf("after the log-out, at node 1: %+v", dead)
	}
}
