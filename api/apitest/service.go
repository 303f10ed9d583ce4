package apitest

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

// Service is a session.Service in memory. It is safe for concurrent use.
type Service struct {
	mu       sync.Mutex
	now      time.Time
	index    uint64
	sessions map[session.KeyHash]*held
	order    []*held // by creation; ended ones stay, marked
	repeated map[string]*held
	users    map[string]*user
	policies map[string]session.Policy
	limits   session.ClusterLimits
	members  []session.Member
	hook     Hook
	ready    error
	own      string // see KeepOwn

	phase    session.MovePhase
	origin   string
	fillings uint64
	closings uint64
	records  []json.RawMessage // that were imported
}

// Hook sees every call before it is carried out; its error becomes the call's. It may block, and may panic.
type Hook func(ctx context.Context, method string, c session.Call) error

type held struct {
	session.Session
	hash       session.KeyHash
	roles      []session.Role
	retired    map[session.KeyHash]session.Key // keys that were rotated, and what followed each: they work on, for there is no time here
	attributes session.Attributes
	sealed     session.Attributes
	request    string // what an idempotent log-in asked for
	ended      bool
	uses       int
}

type user struct {
	session.User
	preferences session.Attributes
	password    string
}

// Start is the moment at which every Service begins; it stands there until Advance moves it.
func Start() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC) }

// New returns a service with the policy "default" and no users.
func New() *Service {
	policy := session.DefaultPolicy()
	policy.Version = 1
	return &Service{
		now: Start(), index: 1, sessions: map[session.KeyHash]*held{}, repeated: map[string]*held{}, users: map[string]*user{},
		policies: map[string]session.Policy{policy.Name: policy},
		limits:   session.ClusterLimits{OnLimit: session.OnLimitRefuse},
		phase:    session.MoveOpen,
		members: []session.Member{
			{ID: "n1", Name: "one", PeerAddress: "127.0.0.1:8701", APIAddress: "127.0.0.1:8700", GossipAddress: "127.0.0.1:8702",
				Role: "leader", Healthy: true, State: "alive", Applied: 9, LastContact: -1, Version: "1", FormatLevel: 1},
			{ID: "n2", Name: "two", Role: "follower", State: "unknown", LastContact: 1500 * time.Millisecond},
		},
	}
}

// SetHook sets what sees every call; nil = nothing.
func (s *Service) SetHook(h Hook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = h
}

// SetReady sets what Ready answers.
func (s *Service) SetReady(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready = err
}

// AddUser makes a user and logs it in.
func (s *Service) AddUser(name, password string, roles ...session.Role) session.Key {
	s.mu.Lock()
	defer s.mu.Unlock()
	roles, err := session.NormalRoles(roles)
	if err != nil {
		panic(err)
	}
	s.index++
	s.users[name] = &user{password: password, User: session.User{Name: name, Roles: roles, Policies: []string{session.DefaultPolicyName},
		HasPassword: password != "", CreatedAt: s.now, Version: s.index}}
	key, _ := s.create(session.Login{User: name, Policy: session.DefaultPolicyName}, roles)
	return key
}

// Uses tells how often the session of key was used; -1 when it is not alive.
func (s *Service) Uses(key session.Key) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.sessions[key.Hash()]; h != nil {
		return h.uses
	}
	return -1
}

// Advance moves the time on by milliseconds.
func (s *Service) Advance(ms int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(time.Duration(ms) * time.Millisecond)
}

// Live tells how many sessions are alive.
func (s *Service) Live() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}

// Ready implements session.Service.
func (s *Service) Ready(bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ready
}

// enter runs the hook and takes the lock.
func (s *Service) enter(ctx context.Context, method string, c session.Call) (leave func(), err error) {
	s.mu.Lock()
	hook := s.hook
	s.mu.Unlock()
	if hook != nil {
		if err := hook(ctx, method, c); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	return s.mu.Unlock, nil
}

// KeepOwn makes the service speak for a node that keeps its own sessions.
func (s *Service) KeepOwn(node string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.own = node
}

func (s *Service) meta(c session.Call) session.Meta {
	m := session.Meta{Index: session.IndexToken(fmt.Sprintf("1:%d", s.index)), Age: -1, Node: s.own}
	if c.Consistency == session.Local || c.MinIndex != "" {
		m.Age = 1234 * time.Millisecond
	}
	return m
}

// written is the meta of a change.
func (s *Service) written() session.Meta {
	s.index++
	return s.meta(session.Call{})
}

// caller finds the caller's session; an operator has none and may do everything.
func (s *Service) caller(c session.Call, anyOf ...session.Role) (*held, error) {
	if c.Operator {
		return &held{roles: session.Roles()}, nil
	}
	h := s.byKey(c.Key)
	if given := c.Credentials; given != nil {
		if u := s.users[given.User]; u.proves(given.Password, given.Digest) {
			return &held{roles: u.Roles, Session: session.Session{User: u.Name}}, nil
		}
		return nil, session.ErrWrongCredentials()
	}
	if c.Key.IsZero() || h == nil {
		return nil, session.ErrUnauthenticated()
	}
	if len(anyOf) > 0 && !h.has(anyOf...) {
		return nil, session.Errorf(session.CodeForbidden, "this takes another role")
	}
	return h, nil
}

func (h *held) has(anyOf ...session.Role) bool {
	for _, r := range h.roles {
		for _, any := range anyOf {
			if r == any {
				return true
			}
		}
	}
	return false
}

// called finds the session that the call is about.
func (s *Service) called(c session.Call) (*held, error) {
	own, err := s.caller(c)
	if err != nil {
		return nil, err
	}
	if c.Subject == nil {
		if c.Operator {
			return nil, session.Invalid("Hydrastore-Session", "the operator has no session")
		}
		return own, nil
	}
	if !own.has(session.RoleService, session.RoleAdmin) {
		return nil, session.Invalid("Hydrastore-Session", "takes role service or admin")
	}
	h := s.byKey(c.Subject.Key)
	if h == nil {
		return nil, session.ErrUnauthenticated()
	}
	return h, nil
}

func (s *Service) create(l session.Login, roles []session.Role) (session.Key, *held) {
	key, err := session.NewKeyFor(l.User, s.keyFormat(l.Policy), rand.Reader)
	if err != nil {
		panic(err)
	}
	id, err := session.NewID(rand.Reader)
	if err != nil {
		panic(err)
	}
	s.index++
	policy := s.policies[l.Policy]
	h := &held{hash: key.Hash(), roles: roles, attributes: l.Attributes, sealed: l.Sealed, Session: session.Session{
		ID: id, Number: uint64(len(s.order) + 1), User: l.User, Policy: l.Policy, CreatedAt: s.now, LastUsedAt: s.now,
		ExpiresAt: s.now.Add(policy.IdleTimeout), IdleTimeout: policy.IdleTimeout, ClientAddress: l.ClientAddress,
		UserAgent: l.UserAgent, AttributesVersion: s.index, Permanent: l.Permanent, Reserved: l.Reserved,
		AuthTime: s.now, Methods: []session.Method{session.MethodPassword},
	}}
	if l.Vouched {
		h.Methods = []session.Method{session.MethodService}
	}
	if l.IdleTimeout != nil {
		h.IdleTimeout, h.ExpiresAt = *l.IdleTimeout, s.now.Add(*l.IdleTimeout)
	}
	if h.Permanent {
		h.IdleTimeout, h.ExpiresAt = 0, time.Time{}
	}
	s.sessions[h.hash] = h
	s.order = append(s.order, h)
	return key.WithNumber(h.Number), h
}

func (s *Service) keyFormat(policy string) session.KeyFormat {
	return cmp.Or(s.policies[policy].KeyFormat, session.KeyNative)
}

// byKey finds the session that a key opens, its own or an earlier one; nil when there is none.
func (s *Service) byKey(k session.Key) *held {
	if h := s.sessions[k.Hash()]; h != nil && k.Names(h.Number) {
		return h
	}
	for _, h := range s.order {
		if _, earlier := h.retired[k.Hash()]; earlier && !h.ended && k.Names(h.Number) {
			return h
		}
	}
	return nil
}

func (s *Service) end(h *held) {
	h.ended = true
	delete(s.sessions, h.hash)
}
