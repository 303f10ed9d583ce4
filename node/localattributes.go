package node

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"sync"
	"sync/atomic"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// localAttributes are the attributes that sessions have at this node alone: those under a policy with session.AttributesLocal. They
// go with their session, however it ends, and with the node.
type localAttributes struct {
	most int // bytes

	held atomic.Int64 // sessions: where there are none, nothing is locked for all that end
	mu   sync.Mutex
	used int
	of   map[session.ID]session.Attributes // maps that are never changed
}

// localOverheadBytes is roughly what a session's attributes and each of them take beside their text.
const localOverheadBytes = 128

func newLocalAttributes(most int) *localAttributes {
	return &localAttributes{most: most, of: map[session.ID]session.Attributes{}}
}

// get returns a session's attributes; never nil.
func (l *localAttributes) get(id session.ID) session.Attributes {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.orNone(id))
}

func (l *localAttributes) orNone(id session.ID) session.Attributes {
	if a, some := l.of[id]; some {
		return a
	}
	return session.Attributes{}
}

// change merges a canonical patch into a session's attributes. CodeTooLarge, CodeOverloaded: nothing has changed.
func (l *localAttributes) change(id session.ID, patch session.AttributePatch) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.orNone(id)
	after := maps.Clone(before)
	maps.Copy(after, session.Attributes(patch))
	maps.DeleteFunc(after, func(_ string, value json.RawMessage) bool { return session.IsDeletion(value) })
	if err := fits(after); err != nil {
		return err
	}
	grown := l.used - localBytes(before) + localBytes(after)
	if grown > l.most && grown > l.used {
		return session.Errorf(session.CodeOverloaded, "this node holds as many local attributes as it may (%d bytes); nothing was changed. They go with their sessions", l.most)
	}
	l.used = grown
	if len(after) == 0 {
		delete(l.of, id)
	} else {
		l.of[id] = after
	}
	l.held.Store(int64(len(l.of)))
	return nil
}

// fits holds attributes to the limits that those in the log have.
func fits(a session.Attributes) error {
	total := 0
	for name, value := range a {
		total += len(name) + len(value)
	}
	if len(a) > session.MaxAttributes || total > session.MaxAttributesBytes {
		return session.ErrAttributesFull()
	}
	return nil
}

func localBytes(a session.Attributes) (n int) {
	if len(a) == 0 {
		return 0
	}
	n = localOverheadBytes
	for name, value := range a {
		n += localOverheadBytes + len(name) + len(value)
	}
	return n
}

// drop forgets a session's attributes.
func (l *localAttributes) drop(id session.ID) {
	if l.held.Load() == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.used -= localBytes(l.of[id])
	delete(l.of, id)
	l.held.Store(int64(len(l.of)))
}

// keep forgets those of all sessions that are not alive.
func (l *localAttributes) keep(alive func(session.ID) bool) {
	l.mu.Lock()
	ids := make([]session.ID, 0, len(l.of))
	for id := range l.of {
		ids = append(ids, id)
	}
	l.mu.Unlock()
	for _, id := range ids {
		if !alive(id) {
			l.drop(id)
		}
	}
}

func (l *localAttributes) bytes() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return float64(l.used)
}

func (n *Node) alive(id session.ID) bool {
	_, ok := n.fsm.SessionByID(id)
	return ok
}

// attributesOf gives the attributes of a session that are neither sealed nor reserved, wherever they are.
func (n *Node) attributesOf(r fsm.Record) session.Attributes {
	if r.AttributesLocal {
		return n.local.get(r.ID)
	}
	return attributes(r.Attributes)
}

// patchLocal changes attributes that are at this node. The session and the right to change it are judged by a linearizable read, and the use
// of the key counts like any other. errElsewhere: they are in the log by now.
func (n *Node) patchLocal(ctx context.Context, c session.Call, p session.AttributePatch, ifMatch *uint64) (session.Checked, error) {
	c.Consistency, c.MinIndex = session.Linearizable, ""
	t, err := n.target(ctx, c)
	if err != nil {
		return session.Checked{}, err
	}
	switch {
	case !t.record.AttributesLocal:
		return session.Checked{}, errElsewhere
	case ifMatch != nil:
		return session.Checked{}, errNoLocalVersions()
	}
	mayWrite := t.byService || t.principal.has(session.RoleService, session.RoleAdmin) || t.record.AttributesWrite == session.WriteByBearer
	if !mayWrite {
		return session.Checked{}, resultError(&fsmpb.Result{Code: fsmpb.Code_CODE_FORBIDDEN, Field: "attributes"}, patching)
	}
	if value, some := p[session.CredentialsAttribute]; some && !session.IsDeletion(value) && n.keepsCredentialsSealed(t.record) {
		return session.Checked{}, session.ErrCredentialsLocal()
	}
	r, index, err := n.useTarget(ctx, t, false)
	if err != nil {
		return session.Checked{}, err
	}
	if err := n.local.change(r.ID, p); err != nil {
		return session.Checked{}, err
	}
	if !n.alive(r.ID) { // it has ended meanwhile, perhaps before it was there to be dropped
		n.local.drop(r.ID)
	}
	return n.shown(r, n.writeMeta(index), t.maySeeSealed())
}

// patching is what those are told they may not do whom a policy does not let write attributes.
const patching = "change the attributes of this session: its policy leaves that to services"

// isLocal tells, by what this node knows, whether the called session has its attributes at nodes. Before it says no of a session that it has not heard of
// it asks: what goes to the log by mistake is refused there, but is on disks until the log is compacted.
func (n *Node) isLocal(ctx context.Context, c session.Call) (bool, error) {
	key := c.Key
	if c.Subject != nil {
		key = c.Subject.Key
	}
	r, known := n.sessionOf(key)
	if !known {
		if _, err := n.read(ctx, session.Call{}); err != nil {
			return false, asError("read", err)
		}
		r, known = n.sessionOf(key)
	}
	return known && r.AttributesLocal, nil
}

// hearOf waits until this node knows what was acknowledged of a policy before a log-in under it, if it has not heard of the policy at all: otherwise it
// would send attributes to the log that are to stay at nodes (see isLocal).
func (n *Node) hearOf(ctx context.Context, create *fsmpb.CreateSession) error {
	if create.Policy == "" || n.fsm.LoginTerms(create.User, create.Policy).Policy == create.Policy {
		return nil
	}
	if _, err := n.read(ctx, session.Call{}); err != nil {
		return asError("read policy", err)
	}
	return nil
}

// errElsewhere says that a patch is for the log and not for this node's memory, or the other way round. It never leaves the node.
var errElsewhere = errors.New("the session's attributes are elsewhere")

func errPlaceChanges() error {
	return &session.Error{Code: session.CodeConflict, Field: "attributes", Message: "the policy's attributes are being changed; ask again"}
}

// knewBetter tells whether apply has refused a patch because the session's attributes are at nodes.
func knewBetter(r *fsmpb.Result) bool {
	return r.Code == fsmpb.Code_CODE_CONFLICT && r.Field == "attributes_local"
}

func errNoLocalVersions() error {
	return session.Invalid("If-Match", "the attributes of this session are each node's own (attributes: local), and have no version to compare")
}

func errSealLocal() error {
	return session.Invalid("sealed_attributes", "the policy keeps attributes in the memory of nodes (attributes: local): nothing is written that could be sealed")
}
