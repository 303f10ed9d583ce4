package backend

import (
	"context"
	"slices"

	"github.com/hydrastore/hydrastore/session"
)

// keyState is what a presented key turns out to be.
type keyState uint8

const (
	keyUnknown keyState = iota // or its session is dead
	keyCurrent
	keyInGrace // rotated, and works still
	keySpent   // rotated, and works no more: whoever presents it has stolen it, or was stolen from
)

// found is a session as a request has read it: all that says whether it lives, and what it may do.
type found struct {
	nowMS   int64
	cluster *clusterRecord

	shown session.Key // that it was looked up by; zero when it was by id
	state keyState    // of that key
	key   keyRecord
	keyAt Version

	id        session.ID
	session   *sessionRecord // nil = there is none
	sessionAt Version
	user      *userRecord // nil = there is none
	userAt    Version
	number    uint64 // in the user's list; 0 = it is not there
}

// rules are those of the session's policy.
func (f *found) rules() rules { return f.cluster.rulesOf(f.session) }

// policy is the session's policy, nil when it was deleted.
func (f *found) policy() *session.Policy { return f.cluster.policy(f.session.Policy) }

// lives tells whether the session lives, whatever key it was looked up by.
func (f *found) lives() bool {
	return f.session != nil && f.number != 0 && f.nowMS < f.session.deadlineMS(f.rules())
}

// opens tells whether the key opens the session.
func (f *found) opens() bool { return f.state == keyCurrent || f.state == keyInGrace }

// roles are those in force.
func (f *found) roles() []session.Role {
	if f.user.Account == nil {
		return f.session.Roles
	}
	return session.RolesInForce(f.session.Roles, f.user.Account.Roles)
}

// rolesDue are those that a rotation would leave the session with. One for which only services have ever vouched gains nothing by
// it: a service cannot come to an admin's session by vouching early.
func (f *found) rolesDue() []session.Role {
	if f.user.Account == nil || slices.Equal(f.session.Methods, []session.Method{session.MethodService}) {
		return f.session.Roles
	}
	return f.user.Account.Roles
}

// read reads records and the store's clock.
func (s *Service) read(ctx context.Context, names ...Name) (Snapshot, error) {
	out := Snapshot{Records: make([]Record, 0, len(names))}
	for part := range slices.Chunk(names, MaxGet) {
		got, err := s.store.Get(ctx, part...)
		if err != nil {
			return Snapshot{}, asError("read the store", err)
		}
		out.Records, out.Now = append(out.Records, got.Records...), got.Now
	}
	return out, nil
}

// look finds what keys open, all at one time.
func (s *Service) look(ctx context.Context, keys ...session.Key) (all []*found, err error) {
	if !s.settled.Load() {
		return nil, errStarting()
	}
	err = s.again(ctx, func() error {
		if all, err = s.lookOnce(ctx, keys); err != nil {
			return err
		}
		s.noteEnded(all...)
		return s.buryOverdue(ctx, all...)
	})
	return all, err
}

func (s *Service) lookOnce(ctx context.Context, keys []session.Key) ([]*found, error) {
	names := make([]Name, len(keys)+1)
	for i, k := range keys {
		names[i] = keyName(k.Hash())
	}
	names[len(keys)] = clusterName()
	snapshot, err := s.read(ctx, names...)
	if err != nil {
		return nil, err
	}
	cluster, err := s.decodeCluster(snapshot.Records[len(keys)])
	if err != nil {
		return nil, err
	}
	all := make([]*found, len(keys))
	for i, k := range keys {
		f := &found{nowMS: snapshot.Now.UnixMilli(), cluster: cluster, shown: k, keyAt: snapshot.Records[i].Version}
		if f.keyAt != "" {
			if err := decode(snapshot.Records[i].Value, &f.key); err != nil {
				return nil, internalError("read a key", err)
			}
			f.id = f.key.Session
		}
		all[i] = f
	}
	if err := s.fill(ctx, all); err != nil {
		return nil, err
	}
	for _, f := range all {
		f.judgeKey()
	}
	return all, nil
}

// lookOne is look for one key.
func (s *Service) lookOne(ctx context.Context, k session.Key) (*found, error) {
	all, err := s.look(ctx, k)
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// lookID finds a session by its id. Its state is keyCurrent when it lives.
func (s *Service) lookID(ctx context.Context, id session.ID) (f *found, err error) {
	err = s.again(ctx, func() error {
		if f, err = s.lookIDOnce(ctx, id); err != nil {
			return err
		}
		s.noteEnded(f)
		return s.buryOverdue(ctx, f)
	})
	return f, err
}

func (s *Service) lookIDOnce(ctx context.Context, id session.ID) (*found, error) {
	snapshot, err := s.read(ctx, sessionName(id), clusterName())
	if err != nil {
		return nil, err
	}
	f := &found{nowMS: snapshot.Now.UnixMilli(), id: id}
	if f.cluster, err = s.decodeCluster(snapshot.Records[1]); err != nil {
		return nil, err
	}
	if snapshot.Records[0].Version == "" {
		return f, nil
	}
	if err := f.setSession(snapshot.Records[0]); err != nil {
		return nil, err
	}
	f.key.User = f.session.User
	if err := s.fill(ctx, []*found{f}); err != nil { // the session as well: so that it is not older than its user's list
		return nil, err
	}
	if f.lives() {
		f.state = keyCurrent
	}
	return f, nil
}

// fill reads sessions and users of what has an id.
func (s *Service) fill(ctx context.Context, all []*found) error {
	var names []Name
	for _, f := range all {
		if !f.id.IsZero() {
			names = append(names, sessionName(f.id), userName(f.key.User))
		}
	}
	if len(names) == 0 {
		return nil
	}
	snapshot, err := s.read(ctx, names...)
	if err != nil {
		return err
	}
	records := snapshot.Records
	for _, f := range all {
		if f.id.IsZero() {
			continue
		}
		f.nowMS = snapshot.Now.UnixMilli()
		if err := f.setSession(records[0]); err != nil {
			return err
		}
		if err := f.setUser(records[1]); err != nil {
			return err
		}
		records = records[2:]
	}
	return s.catchUp(ctx, all)
}

// catchUp reads the policies anew if a session was used under a later one than was read before it: by the earlier one it could look dead.
func (s *Service) catchUp(ctx context.Context, all []*found) error {
	if !slices.ContainsFunc(all, (*found).ahead) {
		return nil
	}
	record, _, _, err := s.readCluster(ctx)
	for _, f := range all {
		f.cluster = record
	}
	return err
}

// ahead tells whether the session was used under a later form of its policy than the one that was read.
func (f *found) ahead() bool {
	if f.session == nil || f.cluster == nil {
		return false
	}
	p := f.policy()
	return p != nil && p.Version < f.session.PolicyVersion
}

func (f *found) setSession(r Record) error {
	f.session, f.sessionAt = nil, r.Version
	if r.Version == "" {
		return nil
	}
	f.session = &sessionRecord{}
	if err := decode(r.Value, f.session); err != nil {
		return internalError("read a session", err)
	}
	return nil
}

func (f *found) setUser(r Record) error {
	f.user, f.userAt, f.number = nil, r.Version, 0
	if r.Version == "" {
		return nil
	}
	f.user = &userRecord{}
	if err := decode(r.Value, f.user); err != nil {
		return internalError("read a user", err)
	}
	if l := f.user.find(f.id); l != nil && !f.user.disabled() {
		f.number = l.Number
	}
	return nil
}

// judgeKey says what the key is to its session.
func (f *found) judgeKey() {
	f.state = keyUnknown
	if !f.lives() || !f.shown.Names(f.number) {
		return
	}
	hash := f.shown.Hash()
	if f.session.Key.Equal(hash) {
		f.state = keyCurrent
		return
	}
	switch i := f.session.findRetired(hash); {
	case i < 0:
	case f.nowMS < f.session.Retired[i].GraceMS:
		f.state = keyInGrace
	default:
		f.state = keySpent
	}
}

// knownCluster is the cluster's record as it was decoded last: it is read with every request and changes rarely.
type knownCluster struct {
	version Version
	record  *clusterRecord
}

// decodeCluster decodes the cluster's record, which must not be changed.
func (s *Service) decodeCluster(r Record) (*clusterRecord, error) {
	if r.Version == "" {
		return nil, internalError("read the store", errNoCluster)
	}
	if known := s.known.Load(); known != nil && known.version == r.Version {
		return known.record, nil
	}
	record := &clusterRecord{}
	if err := decode(r.Value, record); err != nil {
		return nil, internalError("read the store", err)
	}
	s.known.Store(&knownCluster{r.Version, record})
	return record, nil
}

func (s *Service) readCluster(ctx context.Context) (*clusterRecord, Version, int64, error) {
	snapshot, err := s.read(ctx, clusterName())
	if err != nil {
		return nil, "", 0, err
	}
	record, err := s.decodeCluster(snapshot.Records[0])
	return record, snapshot.Records[0].Version, snapshot.Now.UnixMilli(), err
}

// readListed reads sessions of a user's list.
func (s *Service) readListed(ctx context.Context, u *userChange, which func(listed) bool) ([]*found, error) {
	var all []*found
	var names []Name
	for _, l := range u.user.Sessions {
		if which(l) {
			all = append(all, &found{id: l.ID, number: l.Number, cluster: u.cluster, user: u.user})
			names = append(names, sessionName(l.ID))
		}
	}
	if len(all) == 0 {
		return nil, nil
	}
	snapshot, err := s.read(ctx, names...)
	if err != nil {
		return nil, err
	}
	for i, f := range all {
		f.nowMS = snapshot.Now.UnixMilli()
		if err := f.setSession(snapshot.Records[i]); err != nil {
			return nil, err
		}
	}
	return all, s.catchUp(ctx, all)
}
