package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/hydrastore/hydrastore/api/faircom"
	"github.com/hydrastore/hydrastore/cmd/internal/config"
	"github.com/hydrastore/hydrastore/session"
)

// servicesJSON is the block of FairCom's own services.json, as its documents show it.
const servicesJSON = `
"jsonActionApiDefaults":
  {
    "defaultApi": "hub", "defaultBinaryFormat": "hex", "defaultDatabaseName": "faircom", "defaultDebug": "max", "defaultOwnerName": "admin",
    "defaultResponseOptions": {"binaryFormat": "hex", "dataFormat": "objects", "numberFormat": "number"},
    "idleConnectionTimeoutSeconds": 3600, "idleCursorTimeoutSeconds": 600,
    "defaultRetentionPolicy": "autoPurge", "defaultRetentionUnit": "week", "defaultRetentionPeriod": 4,
    "maxJsonApiSessions": 1024, "maxJsonApiSessionsPerIpAddress": 50, "maxJsonApiSessionsPerUsername": 50,
    "enablePermanentJsonApiSessions": true,
  }
`

func TestFairComsOwnBlockIsTaken(t *testing.T) {
	t.Parallel()
	c, err := load(t, servicesJSON, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.Protocols.FairComDefaults, faircom.DefaultConfig().Defaults; got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	want, _ := session.Preset(session.PresetFairCom)
	want.PermanentAllowed = true
	if given := c.GivenPolicies(); len(given) != 1 || given[0] != want {
		t.Errorf("got %+v, want %+v", given, want)
	}
}

// TestProtocolsAreOffUnlessAsked: a server speaks no more than it was told to; dev speaks what nobody has turned off.
func TestProtocolsAreOffUnlessAsked(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "off.yaml")
	if err := os.WriteFile(path, []byte("protocols: {faircom: false, livejournal: false, netx: false}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		in   config.Input
		want bool
	}{
		"server":           {config.Input{}, false},
		"server, asked":    {config.Input{Environ: []string{"HYDRASTORE_PROTOCOLS_FAIRCOM=true", "HYDRASTORE_PROTOCOLS_LIVEJOURNAL=true", "HYDRASTORE_PROTOCOLS_NETX=true"}}, true},
		"dev":              {config.Input{Dev: true}, true},
		"dev, turned off":  {config.Input{Dev: true, File: path}, false},
		"dev, by the flag": {config.Input{Dev: true, Flags: map[string]string{"protocols.faircom": "false", "protocols.livejournal": "false", "protocols.netx": "false"}}, false},
	} {
		test.in.Hostname = func() (string, error) { return "here", nil }
		c, err := config.Load(test.in)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for policy, on := range map[string]bool{
			session.PresetFairCom: c.Protocols.FairCom, session.PresetLiveJournalShort: c.Protocols.LiveJournal, session.PresetLiveJournalLong: c.Protocols.LiveJournal,
			session.PresetNetX: c.Protocols.NetX,
		} {
			named := slices.ContainsFunc(c.Policies, func(p session.Policy) bool { return p.Name == policy })
			if on != test.want || named != test.want {
				t.Errorf("%s: on %v, with the policy %s %v; want %v", name, on, policy, named, test.want)
			}
		}
		if given := c.GivenPolicies(); len(given) != 0 {
			t.Errorf("%s: %v were not given", name, given)
		}
	}
}
