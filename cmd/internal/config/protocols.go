package config

import (
	"slices"

	"github.com/hydrastore/hydrastore/api/faircom"
	"github.com/hydrastore/hydrastore/api/livejournal"
	"github.com/hydrastore/hydrastore/api/protocol"
	"github.com/hydrastore/hydrastore/session"
)

const (
	keyFairCom     = "protocols.faircom"
	keyLiveJournal = "protocols.livejournal"
	keyNetX        = "protocols.netx"
	keyNetXPath    = "protocols.netx_path"
)

// policies are those that the protocols which are on make sessions under.
func (p Protocols) policies() []string {
	var names []string
	if p.FairCom {
		names = append(names, session.PresetFairCom)
	}
	if p.LiveJournal {
		names = append(names, session.PresetLiveJournalShort, session.PresetLiveJournalLong)
	}
	if p.NetX {
		names = append(names, session.PresetNetX)
	}
	return names
}

// protocols turns on in dev what nobody has turned off, and judges what protocols are told.
func (l *loader) protocols() {
	p := &l.config.Protocols
	for key, on := range map[string]*bool{keyFairCom: &p.FairCom, keyNetX: &p.NetX, keyLiveJournal: &p.LiveJournal} {
		if _, given := l.sources[key]; !given && l.in.Dev {
			*on = true
		}
	}
	if n := p.LiveJournalMaxUserName; n < 1 || n > session.MaxUserNameBytes {
		l.problem("livejournal.maxUserName", "a number from 1 to %d is needed here, this is %d", session.MaxUserNameBytes, n)
	}
	switch err := protocol.ValidatePath(p.NetXPath); {
	case err != nil:
		l.problem(keyNetXPath, "%v", err)
	case p.FairCom && p.NetXPath == faircom.DefaultPath:
		l.problem(keyNetXPath, "%s is the path of protocols.faircom", p.NetXPath)
	case p.LiveJournal && slices.Contains([]string{livejournal.FlatPath, livejournal.OldFlatPath, livejournal.XMLRPCPath}, p.NetXPath):
		l.problem(keyNetXPath, "%s is a path of protocols.livejournal", p.NetXPath)
	}
	for key, n := range map[string]int{
		"jsonActionApiDefaults.idleCursorTimeoutSeconds": p.FairComDefaults.IdleCursorTimeoutSeconds,
		"jsonActionApiDefaults.defaultRetentionPeriod":   p.FairComDefaults.RetentionPeriod,
	} {
		if n < 0 {
			l.problem(key, "a number that is not negative is needed here, this is %d", n)
		}
	}
}
