package server_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/cmd/internal/config"
	"github.com/hydrastore/hydrastore/cmd/internal/server"
)

// TestAFileThatIsNotInForceIsSaid: the file gives first values. When the cluster has others, its node says so at its start, and how to
// bring the two together.
func TestAFileThatIsNotInForceIsSaid(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	with := func(policies string) config.Config {
		return settingsIn(t, dir, map[string]string{"policies": policies, "log.level": "debug"})
	}
	for _, c := range []struct {
		name     string
		settings config.Config
		warns    string
	}{
		{"first values", with("{web: {idle_timeout_s: 60}}"), ""},
		{"the same", with("{web: {idle_timeout_s: 60}}"), ""},
		{"no word of policies", settingsIn(t, dir, nil), ""},
		{"other values", with("{web: {idle_timeout_s: 61}, default: {bind_address: log}}"), `"policies":"default, web"`},
	} {
		var log journal
		s, err := server.Start(t.Context(), server.Options{Config: c.settings, AdminPassword: adminPassword, Logger: server.NewLogger(&log, c.settings.Log), Fatal: fatal(t)})
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		eventually(t, c.name+": the node is ready", func() bool { return s.Ready() == nil })
		const sentence = "hydrastore policy apply --from-config FILE"
		if c.warns != "" {
			eventually(t, "a warning", func() bool {
				return strings.Contains(log.String(), sentence) && strings.Contains(log.String(), c.warns)
			})
		} else if len(c.settings.GivenPolicies()) > 0 {
			eventually(t, c.name+": the comparison", func() bool { return strings.Contains(log.String(), "are those of the configuration") })
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		cancel()
		if c.warns == "" && strings.Contains(log.String(), sentence) {
			t.Errorf("%s: warned of nothing:\n%s", c.name, log.String())
		}
	}
}
