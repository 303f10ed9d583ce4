package faircom

import (
	"context"
	"net/http"

	"github.com/hydrastore/hydrastore/api/protocol"
	"github.com/hydrastore/hydrastore/session"
)

// Name of the protocol, as metrics and the log have it.
const Name = "faircom"

// DefaultPath is FairCom's.
const DefaultPath = "/api"

// Config is copied by New. Start from DefaultConfig.
type Config struct {
	Path string // default DefaultPath
	// Defaults are what sessions show of which nobody has said otherwise: jsonActionApiDefaults.
	Defaults Defaults
	// Host is what the answering node says of itself.
	Host Host
	// Version of this program, shown as serverVersion.
	Version string
}

// Defaults of a session's settings. Their words are FairCom's.
type Defaults struct {
	API, BinaryFormat, DatabaseName, Debug, OwnerName string
	ResponseOptions                                   ResponseOptions
	IdleCursorTimeoutSeconds                          int
	RetentionPolicy, RetentionUnit                    string
	RetentionPeriod                                   int
}

// ResponseOptions are how FairCom would write results of queries.
type ResponseOptions struct {
	BinaryFormat string `json:"binaryFormat"`
	DataFormat   string `json:"dataFormat"`
	NumberFormat string `json:"numberFormat"`
}

// Host describes the answering node.
type Host struct {
	Name           string
	UUID           string
	Addresses      []string
	ServerNamePort string
	SQLPort        int
}

// DefaultConfig has the values of FairCom's own example.
func DefaultConfig() Config {
	return Config{
		Path: DefaultPath,
		Defaults: Defaults{
			API: "hub", BinaryFormat: "hex", DatabaseName: "faircom", Debug: "max", OwnerName: "admin",
			ResponseOptions:          ResponseOptions{BinaryFormat: "hex", DataFormat: "objects", NumberFormat: "number"},
			IdleCursorTimeoutSeconds: 600, RetentionPolicy: "autoPurge", RetentionUnit: "week", RetentionPeriod: 4,
		},
	}
}

// The limits of this protocol, beside those of sessions.
const (
	MaxSettingBytes     = 256  // one setting of a session
	MaxDescriptionBytes = 1024 // its description
	MaxRequestIDBytes   = 256
	MaxTokensDescribed  = 64   // authTokens of one describeSessions
	MaxSessionsListed   = 2048 // of one answer
	maxTokenBytes       = 256  // of what can be a token at all, and is echoed
)

// room answers for one node. It holds no state of its own.
type room struct {
	config  Config
	service session.Service
}

// New returns the protocol before service.
func New(config Config, service session.Service) protocol.Protocol {
	r := &room{config: config, service: service}
	return protocol.Protocol{
		Name: Name, Operations: actionNames(),
		Routes: []protocol.Route{{Path: config.Path, Methods: []string{http.MethodPost}, Serve: r.serve, Fail: fail}},
	}
}

func (r *room) serve(ctx context.Context, request *protocol.Request) (protocol.Response, error) {
	e, err := parseEnvelope(request.Body)
	if err != nil {
		return protocol.Response{}, &failure{envelope: e, err: err}
	}
	act, known := actions()[e.action]
	if !known {
		return protocol.Response{}, &failure{envelope: e, err: errUnknownAction()}
	}
	c := &call{room: r, ctx: ctx, Call: request.Call, envelope: e}
	result, err := act(c)
	if err != nil {
		return protocol.Response{}, &failure{envelope: e, err: err}
	}
	return e.succeed(result, c), nil
}
