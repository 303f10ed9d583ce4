package faircom

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/hydrastore/hydrastore/api/internal/strictjson"
	"github.com/hydrastore/hydrastore/session"
)

// permanentIdleSeconds is what a permanent session reports as its idle timeout.
const permanentIdleSeconds = -1

// timestampForm is FairCom's: no zone, which is UTC here, and no fraction.
const timestampForm = "2006-01-02T15:04:05"

// description of a session, in FairCom's words and order.
type description struct {
	AuthToken                    string          `json:"authToken"`
	SessionID                    string          `json:"sessionId"` // ours: names sessions whose token nobody presents
	Username                     string          `json:"username"`
	Description                  json.RawMessage `json:"description,omitempty"`
	DefaultDatabaseName          json.RawMessage `json:"defaultDatabaseName"`
	DefaultOwnerName             json.RawMessage `json:"defaultOwnerName"`
	DefaultBinaryFormat          json.RawMessage `json:"defaultBinaryFormat"`
	DefaultVariantFormat         json.RawMessage `json:"defaultVariantFormat,omitempty"`
	DefaultResponseOptions       json.RawMessage `json:"defaultResponseOptions"`
	IdleConnectionTimeoutSeconds int64           `json:"idleConnectionTimeoutSeconds"`
	IdleCursorTimeoutSeconds     json.RawMessage `json:"idleCursorTimeoutSeconds"`
	DefaultAPI                   json.RawMessage `json:"defaultApi"`
	DefaultDebug                 json.RawMessage `json:"defaultDebug"`
	TransformBufferInitialBytes  int             `json:"transformBufferInitialBytes"`
	PermanentSession             bool            `json:"permanentSession"`
	Start                        string          `json:"sessionStartTimestamp"`
	LastAccessed                 string          `json:"sessionLastAccessedTimestamp"`
	DefaultRetentionPolicy       string          `json:"defaultRetentionPolicy"`
	DefaultRetentionUnit         string          `json:"defaultRetentionUnit"`
	DefaultRetentionPeriod       int             `json:"defaultRetentionPeriod"`
	Hostname                     string          `json:"hostname"`
	HostUUID                     string          `json:"hostUuid"`
	HostIPAddresses              []string        `json:"hostIpAddresses"`
	HostServerNamePort           string          `json:"hostServerNamePort"`
	HostSQLPort                  int             `json:"hostSQLPort"`
	ServerVersion                string          `json:"serverVersion,omitempty"`
}

// describe shows a session. token is "" where the request has not presented it: nobody keeps it.
func (r *room) describe(s session.Session, token string) description {
	d, host := r.config.Defaults, r.config.Host
	setting := func(name string, byDefault any) json.RawMessage {
		if kept, found := s.Reserved[settingPrefix+name]; found {
			return kept
		}
		if byDefault == nil {
			return nil
		}
		text, _ := json.Marshal(byDefault) // a text, a number, or a struct of texts
		return text
	}
	idle := int64(s.IdleTimeout / time.Second)
	if s.Permanent {
		idle = permanentIdleSeconds
	}
	return description{
		AuthToken: token, SessionID: s.ID.String(), Username: upper(s.User), Description: setting(settingDescription, nil),
		DefaultDatabaseName: setting("defaultDatabaseName", d.DatabaseName), DefaultOwnerName: setting("defaultOwnerName", d.OwnerName),
		DefaultBinaryFormat: setting("defaultBinaryFormat", d.BinaryFormat), DefaultVariantFormat: setting("defaultVariantFormat", nil),
		DefaultResponseOptions:       setting(settingResponseOptions, d.ResponseOptions),
		IdleConnectionTimeoutSeconds: idle, IdleCursorTimeoutSeconds: setting(settingCursorTimeout, d.IdleCursorTimeoutSeconds),
		DefaultAPI: setting("defaultApi", d.API), DefaultDebug: setting("defaultDebug", d.Debug), PermanentSession: s.Permanent,
		Start: s.CreatedAt.UTC().Format(timestampForm), LastAccessed: s.LastUsedAt.UTC().Format(timestampForm),
		DefaultRetentionPolicy: d.RetentionPolicy, DefaultRetentionUnit: d.RetentionUnit, DefaultRetentionPeriod: d.RetentionPeriod,
		Hostname: host.Name, HostUUID: host.UUID, HostIPAddresses: append([]string{}, host.Addresses...),
		HostServerNamePort: host.ServerNamePort, HostSQLPort: host.SQLPort, ServerVersion: r.config.Version,
	}
}

// upper spells a user's name as FairCom does, unless that would be another user's.
func upper(name string) string {
	spelt := strings.ToUpper(name)
	if folded, err := session.FoldUserName(spelt); err != nil || folded != name {
		return name
	}
	return spelt
}

type described struct {
	Sessions []description `json:"sessions"`
}

func describeSessions(c *call) (any, error) {
	var tokens []string
	listed := false
	takers := map[string]func(strictjson.Value) error{"authTokens": func(v strictjson.Value) (err error) {
		if v.Kind() == strictjson.Null {
			return nil
		}
		listed = true
		tokens, err = v.Texts(MaxTokensDescribed)
		return err
	}}
	if err := c.envelope.members(takers, names(takers)); err != nil {
		return nil, err
	}
	own, err := c.use()
	if err != nil {
		return nil, err
	}
	if listed {
		return c.describeTokens(own, tokens)
	}
	return c.describeAll(own)
}

func listSessions(c *call) (any, error) {
	if err := c.noParams(); err != nil {
		return nil, err
	}
	own, err := c.use()
	if err != nil {
		return nil, err
	}
	return c.describeAll(own)
}

// describeTokens shows the sessions of those tokens that open one which the caller may see.
func (c *call) describeTokens(own session.Checked, tokens []string) (any, error) {
	all := described{Sessions: []description{}}
	for i, token := range tokens {
		if slices.Contains(tokens[:i], token) {
			continue
		}
		key, err := session.ParseKey(token)
		if err != nil {
			continue
		}
		other := c.Call
		other.Key = key
		checked, err := ofThisRoom(c.service.Check(c.ctx, other, true))
		switch {
		case session.CodeOf(err) == session.CodeUnauthenticated:
		case err != nil:
			return nil, err
		case checked.User == own.User || isAdmin(own):
			all.Sessions = append(all.Sessions, c.describe(checked.Session, token))
		}
	}
	return all, nil
}

// describeAll shows an admin all sessions, and others their own: first the temporary ones.
func (c *call) describeAll(own session.Checked) (any, error) {
	all := described{Sessions: []description{}}
	for _, permanent := range []bool{false, true} {
		filter := session.Filter{Policy: session.PresetFairCom, Permanent: permanent}
		if !isAdmin(own) {
			filter.User = own.User
		}
		if err := c.gather(own, filter, &all); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (c *call) gather(own session.Checked, filter session.Filter, all *described) error {
	page := session.Page{Limit: session.MaxPageSize}
	for {
		list, err := c.service.ListSessions(c.ctx, c.Call, filter, page)
		if err != nil {
			return err
		}
		for _, s := range list.Items {
			if len(all.Sessions) == MaxSessionsListed {
				c.warnings = append(c.warnings, warning{codeTooLarge, "there are more sessions than one answer shows; GET /v1/sessions pages through all of them"})
				return nil
			}
			token := ""
			if s.ID == own.ID {
				token = *c.envelope.authToken
			}
			all.Sessions = append(all.Sessions, c.describe(s, token))
		}
		if page.Cursor = list.NextCursor; page.Cursor == "" {
			return nil
		}
	}
}

func isAdmin(c session.Checked) bool { return slices.Contains(c.Roles, session.RoleAdmin) }
