package backend

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

// overlay lays a Directory over a store that keeps sessions: records of users read as if they held their accounts, and that of the cluster as if it held
// the policies. They are written without them. So the rules of a Service are the same whoever keeps the accounts.
//
// A session is listed under the mark that its user's record showed when its log-in read that. Under another one it is not in the list that is read, and the
// next write of the list leaves it out for good: what has left a list never comes back.
type overlay struct {
	Store
	directory Directory

	cluster atomic.Pointer[laidCluster]
	shift   atomic.Int64  // how far the store's clock was ahead of the directory's, in nanoseconds
	last    atomic.Int64  // the latest instant that was told, in milliseconds
	outlast time.Duration // how long a write may go on when nobody waits for it any more; 0 = it may not
	kept    time.Time     // the time of the last write before this process began; zero = unknown
	lead    atomic.Int64  // how far that is ahead of the directory's time, in milliseconds
}

func newOverlay(store Store, d Directory) *overlay {
	o := &overlay{Store: store, directory: d}
	if k, ok := store.(TimeKeeper); ok {
		o.kept = k.KeepTime(o.now)
	}
	return o
}

// laidCluster is the cluster's record as it was laid over last.
type laidCluster struct {
	version Version
	value   []byte
}

// marks are those under which a user's new sessions are listed. They stand in the record while a Service has it.
type marks struct {
	Sessions  string `json:"sessions"`
	Permanent string `json:"permanent"`
}

func (m marks) of(permanent bool) string {
	if permanent {
		return m.Permanent
	}
	return m.Sessions
}

// absent is the version of a user's record that is not in the store. It is shown nevertheless: it has the marks of new sessions, and perhaps an account.
const absent = Version("-")

// present marks versions of records that are, and policiesMark parts the version of the policies from that of the record.
const (
	present      = "+"
	policiesMark = "/"
)

// beneath is the version that the store has given a record.
func beneath(v Version) Version {
	if v == absent {
		return ""
	}
	own, _, _ := strings.Cut(strings.TrimPrefix(string(v), present), policiesMark)
	return Version(own)
}

// Features implements Store.
func (o *overlay) Features() Features {
	f := o.Store.Features()
	f.OneNode, f.Clock = true, true
	return f
}

// goOn lets time go on from the last write, where the directory's time is behind that: after all of a cluster has stopped, that is the time of day again, and no later than
// the last entry of the log for certain, of which sessions at nodes are no part. It tells how far.
func (o *overlay) goOn() time.Duration {
	lead := max(0, o.kept.Sub(o.directory.Now()))
	if o.kept.IsZero() {
		lead = 0
	}
	o.lead.Store(lead.Milliseconds())
	return lead
}

// now is the directory's time, which never goes back.
func (o *overlay) now() time.Time {
	ms := o.directory.Now().UnixMilli() + o.lead.Load()
	for {
		last := o.last.Load()
		if ms <= last {
			return instant(last)
		}
		if o.last.CompareAndSwap(last, ms) {
			return instant(ms)
		}
	}
}

// Get implements Store.
func (o *overlay) Get(ctx context.Context, names ...Name) (Snapshot, error) {
	got, err := o.Store.Get(ctx, names...)
	if err != nil {
		return got, err
	}
	now := o.now()
	o.shift.Store(int64(got.Now.Sub(now)))
	got.Now = now
	for i := range got.Records {
		if err := o.lay(ctx, &got.Records[i]); err != nil {
			return Snapshot{}, err
		}
	}
	return got, nil
}

// Scan implements Store. Users that only the directory knows are not shown.
func (o *overlay) Scan(ctx context.Context, kind Kind, after string, limit int) (Page, error) {
	page, err := o.Store.Scan(ctx, kind, after, limit)
	if err != nil {
		return page, err
	}
	page.Now = o.now()
	for i := range page.Records {
		if err := o.lay(ctx, &page.Records[i]); err != nil {
			return Page{}, err
		}
	}
	return page, nil
}

// lay lays what the directory knows over a record.
func (o *overlay) lay(ctx context.Context, r *Record) error {
	switch {
	case r.Kind == KindUser:
		return o.layUser(ctx, r)
	case r.Name == clusterName() && r.Version != "":
		return o.layCluster(r)
	case r.Version != "":
		r.Version = present + r.Version
	}
	return nil
}

func (o *overlay) layUser(ctx context.Context, r *Record) error {
	known, u := o.directory.User(r.ID), &userRecord{}
	if r.Version != "" {
		if err := decode(r.Value, u); err != nil {
			return internalError("read a user", err)
		}
		r.Version = present + r.Version
	} else {
		floor, err := o.floor(ctx)
		if err != nil {
			return err
		}
		u.LastNumber, r.Version = floor, absent
	}
	if known.Account != nil {
		a := known.Account.record()
		u.Account, u.Version = &a, a.Version
	}
	if u.PreferencesOf != known.owner() {
		u.Preferences, u.PreferencesOf = nil, known.owner()
	}
	u.Marks = &marks{Sessions: known.Sessions.Now, Permanent: known.Permanent.Now}
	u.Sessions, u.Ended = known.living(u.Sessions)
	var err error
	r.Value, err = encode(u)
	return err
}

// floor is where the numbers of sessions begin of a user without record.
func (o *overlay) floor(ctx context.Context) (uint64, error) {
	got, err := o.Store.Get(ctx, clusterName())
	if err != nil || got.Records[0].Version == "" {
		return 0, err
	}
	c := &clusterRecord{}
	if err := decode(got.Records[0].Value, c); err != nil {
		return 0, internalError("read the store", err)
	}
	return c.Floor, nil
}

// owner tells accounts of one name apart: what a user prefers goes with it.
func (d DirectoryUser) owner() string {
	if d.Account == nil {
		return d.Permanent.Now
	}
	return strconv.FormatInt(d.Account.CreatedAt.UnixMilli(), 10)
}

// living parts those sessions of a list that no change of their user has ended, each under the present mark, from the others.
func (d DirectoryUser) living(all []listed) (out, ended []listed) {
	for _, l := range all {
		mark := d.Sessions
		if l.Permanent {
			mark = d.Permanent
		}
		spared := l.Under == mark.Before && l.ID == d.Spared && !l.ID.IsZero()
		if l.Under != mark.Now && !spared {
			ended = append(ended, l)
			continue
		}
		l.Under = mark.Now
		out = append(out, l)
	}
	return out, ended
}

func (o *overlay) layCluster(r *Record) error {
	policies := o.directory.Policies()
	version := present + r.Version + policiesMark + Version(strconv.FormatUint(policies.Version, 10))
	if known := o.cluster.Load(); known != nil && known.version == version {
		r.Version, r.Value = version, known.value // it is decoded only
		return nil
	}
	c := &clusterRecord{}
	if err := decode(r.Value, c); err != nil {
		return internalError("read the store", err)
	}
	c.Policies, c.PastElsewhere, c.MaxSessions = policies.Items, policies.Past, policies.MaxSessions
	value, err := encode(c)
	if err != nil {
		return internalError("read the store", err)
	}
	r.Version, r.Value = version, value
	o.cluster.Store(&laidCluster{version, value})
	return nil
}

// Put implements Store. Records of sessions and of their keys never expire by the store's own clock, which is this machine's: the sweep takes them away.
func (o *overlay) Put(ctx context.Context, name Name, value []byte, was Version, expires time.Time) (Version, error) {
	var err error
	switch {
	case name.Kind == KindUser:
		value, err = liftUser(value)
	case name == clusterName():
		value, err = liftCluster(value)
	case name.Kind == KindSession || name.Kind == KindKey:
		expires = time.Time{}
	case !expires.IsZero():
		expires = expires.Add(time.Duration(o.shift.Load()))
	}
	if err != nil {
		return "", internalError("write a record", err)
	}
	ctx, cancel := o.outlasting(ctx)
	defer cancel()
	version, err := o.Store.Put(ctx, name, value, beneath(was), expires)
	if err != nil {
		return "", err
	}
	return present + version, nil
}

// Delete implements Store.
func (o *overlay) Delete(ctx context.Context, name Name, was Version) error {
	if was == absent {
		return nil
	}
	ctx, cancel := o.outlasting(ctx)
	defer cancel()
	return o.Store.Delete(ctx, name, beneath(was))
}

// outlasting lets a write end whose caller has gone: what it did must be known to who tells of it.
func (o *overlay) outlasting(ctx context.Context) (context.Context, context.CancelFunc) {
	if o.outlast == 0 || ctx.Err() != nil {
		return ctx, func() {}
	}
	return context.WithTimeout(context.WithoutCancel(ctx), o.outlast)
}

// liftUser takes what the directory knows out of a user's record. New sessions come under the marks that it showed when it was read: if a change has ended
// the user's sessions since, they are ended.
func liftUser(value []byte) ([]byte, error) {
	u := &userRecord{}
	if err := decode(value, u); err != nil {
		return nil, err
	}
	if u.Marks != nil {
		for i := range u.Sessions {
			if l := &u.Sessions[i]; l.Under == "" {
				l.Under = u.Marks.of(l.Permanent)
			}
		}
	}
	if len(u.Preferences) == 0 {
		u.PreferencesOf = ""
	}
	u.Account, u.Version, u.Marks, u.Ended = nil, 0, nil, nil
	return encode(u)
}

func liftCluster(value []byte) ([]byte, error) {
	c := &clusterRecord{}
	if err := decode(value, c); err != nil {
		return nil, err
	}
	c.Policies, c.PastElsewhere, c.MaxSessions = nil, nil, 0
	return encode(c)
}

var _ Store = (*overlay)(nil)

// toldLead is how far time must have been before operators hear of it.
const toldLead = time.Minute

// settleWithDirectory is what settleOnce asks of the store where a Directory keeps policies and accounts. It reads the directory first: until that is as new as what was
// acknowledged before this process began, sessions could look ended that are not.
func (s *Service) settleWithDirectory(ctx context.Context) error {
	if _, err := s.config.Directory.Read(ctx, session.Call{}); err != nil {
		return err
	}
	if o, ok := s.store.(*overlay); ok {
		if lead := o.goOn(); lead > toldLead {
			s.log.Warn("the cluster's time is before that of the last write here: the time of this node's sessions goes on from that", slog.Duration("ahead", lead))
		}
	}
	if err := s.found(ctx); err != nil {
		return err
	}
	record, _, _, err := s.readCluster(ctx)
	if err != nil {
		return err
	}
	for _, p := range record.Policies {
		if err := s.features.supports(p); err != nil {
			return err
		}
	}
	return s.features.supportsLimit(record.MaxSessions)
}
