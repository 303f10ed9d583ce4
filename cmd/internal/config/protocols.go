package config

import "github.com/hydrastore/hydrastore/session"

const (
	keyFairCom     = "protocols.faircom"
	keyLiveJournal = "protocols.livejournal"
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
	return names
}

// protocols turns on in dev what nobody has turned off, and judges what protocols are told.
func (l *loader) protocols() {
	p := &l.config.Protocols
	for key, on := range map[string]*bool{keyFairCom: &p.FairCom, keyLiveJournal: &p.LiveJournal} {
		if _, given := l.sources[key]; !given && l.in.Dev {
			*on = true
		}
	}
	if n := p.LiveJournalMaxUserName; n < 1 || n > session.MaxUserNameBytes {
		l.problem("livejournal.maxUserName", "a number from 1 to %d is needed here, this is %d", session.MaxUserNameBytes, n)
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
