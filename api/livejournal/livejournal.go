// Package livejournal speaks LiveJournal's client/server protocol: the flat one and XML-RPC. It translates what is asked into calls of
// session.Service and the answers back, and decides nothing about sessions. docs/protocols/livejournal.md is what its users read.
package livejournal

import (
	"context"
	"net/http"

	"github.com/hydrastore/hydrastore/api/protocol"
	"github.com/hydrastore/hydrastore/session"
)

// Paths at which the protocol is served.
const (
	FlatPath    = "/interface/flat"
	OldFlatPath = "/cgi-bin/log.cgi" // the flat protocol's first place
	XMLRPCPath  = "/interface/xmlrpc"
)

// DefaultMaxUserName is the longest user name that LiveJournal has.
const DefaultMaxUserName = 15

// Config of the protocol. Start from DefaultConfig.
type Config struct {
	// Short and Long name the policies of sessions with that expiration. Users need them among theirs. Default: the presets of these names.
	Short, Long string
	// MaxUserName is the longest user name that is taken, in bytes. Longer ones are for clusters whose users have them; old clients may
	// not take them. Default 15.
	MaxUserName int
}

// DefaultConfig returns the defaults that the fields of Config name.
func DefaultConfig() Config {
	return Config{Short: session.PresetLiveJournalShort, Long: session.PresetLiveJournalLong, MaxUserName: DefaultMaxUserName}
}

// Validate tells what is wrong.
func (c Config) Validate() error {
	if c.MaxUserName < 1 || c.MaxUserName > session.MaxUserNameBytes {
		return session.Invalid("livejournal.maxUserName", "must be between 1 and %d", session.MaxUserNameBytes)
	}
	for _, name := range []string{c.Short, c.Long} {
		if err := session.ValidatePolicyName(name); err != nil {
			return err
		}
	}
	return nil
}

// New makes the protocol for a server to mount. The Config must be valid.
func New(c Config, service session.Service) protocol.Protocol {
	d := &desk{config: c, service: service}
	flat := func(path string) protocol.Route {
		// GET too: who comes with it learns that no mode was in the body.
		return protocol.Route{Path: path, Methods: []string{http.MethodPost, http.MethodGet}, Serve: d.serveFlat, Fail: failFlat}
	}
	return protocol.Protocol{
		Name: "livejournal", Operations: modes(),
		Routes: []protocol.Route{
			flat(FlatPath), flat(OldFlatPath),
			{Path: XMLRPCPath, Methods: []string{http.MethodPost}, Serve: d.serveXMLRPC, Fail: failXMLRPC},
		},
	}
}

// desk answers requests, whichever of the two forms they came in.
type desk struct {
	config  Config
	service session.Service
}

// The modes of the protocol that are about who somebody is.
const (
	modeChallenge = "getchallenge"
	modeLogin     = "login"
	modeGenerate  = "sessiongenerate"
	modeExpire    = "sessionexpire"
	modeCheck     = "checksession"
)

func modes() []string {
	return []string{modeChallenge, modeLogin, modeGenerate, modeExpire, modeCheck}
}

// answer does what a request asks for, once its mode is known to be one.
func (d *desk) answer(ctx context.Context, r *request) (reply, error) {
	switch r.mode {
	case modeChallenge:
		return d.challenge(ctx, r)
	case modeLogin:
		return d.login(ctx, r)
	case modeGenerate:
		return d.generate(ctx, r)
	case modeExpire:
		return d.expire(ctx, r)
	}
	return d.check(ctx, r)
}
