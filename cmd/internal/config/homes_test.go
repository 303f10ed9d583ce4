package config_test

import (
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/cmd/internal/config"
)

// TestSeedsOfTokenizers: the blocks of the seed, as they stand there, are settings of servers.
func TestSeedsOfTokenizers(t *testing.T) {
	t.Parallel()
	const head = "tokenizer:\n  timeout: 20 # minutes\n  safe_password: abc123456abcdef\n"
	for name, c := range map[string]struct{ yaml, home string }{
		"local":           {head + "  type: local\n  path: /tmp/tokens\n", config.HomeLocal},
		"dynamodb":        {head + "  type: dynamodb\n  table: session_tokens\n", config.HomeDynamoDB},
		"dynamodb, named": {head + "  type: dynamodb\n  table: session_tokens\n  profile_name: your_aws_cli_profile_name_here\n  aws_region_name: us-east-1\n", config.HomeDynamoDB},
		"dynamodb, keys":  {head + "  type: dynamodb\n  table: session_tokens\n  aws_access_key: your_aws_access_key_here\n  aws_secret_key: your_aws_secret_key_here\n  aws_region_name: us-east-1\n", config.HomeDynamoDB},
		"redis":           {head + "  type: redis\n  host: localhost\n  port: 6379\n  options:\n    ssl: true\n", config.HomeRedis},
		"faircom without what only a cluster counts": {head + "  type: local\njsonActionApiDefaults: {maxJsonApiSessions: 0, maxJsonApiSessionsPerIpAddress: 0}\n", config.HomeLocal},
		"netx with attributes for all":               {head + "  type: local\nprotocols: {netx: true}\npolicies: {netx: {attributes: shared}}\n", config.HomeLocal},
	} {
		got, err := load(t, c.yaml, nil, nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got.Home != c.home || got.Sealing.SafePassword != "abc123456abcdef" {
			t.Errorf("%s: got home %q", name, got.Home)
		}
		found := false
		for _, p := range got.GivenPolicies() {
			found = found || p.Name == "tokenizer" && p.IdleTimeout == 20*time.Minute && p.SingleSession
		}
		if !found {
			t.Errorf("%s: got policies %+v", name, got.GivenPolicies())
		}
	}
}
