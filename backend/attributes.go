package backend

import (
	"context"
	"encoding/json"
	"maps"

	"github.com/hydrastore/hydrastore/session"
)

// sealOverhead is what a sealed value takes beside its data, in the count of bytes: as much as in a cluster.
const sealOverhead = 5

// PatchAttributes implements session.Sessions.
func (s *Service) PatchAttributes(ctx context.Context, c session.Call, p session.AttributePatch, ifMatch *uint64) (session.Checked, error) {
	patch, err := p.Canonical()
	if err != nil {
		return session.Checked{}, err
	}
	return s.patch(ctx, c, ifMatch, func(r *sessionRecord, id session.ID) (bool, error) {
		open, secret, err := s.splitCredentials(r, patch)
		if err != nil {
			return false, err
		}
		sealed, err := s.seals.seal(s.config.Random, id, session.Attributes(secret))
		if err != nil {
			return false, err
		}
		changed := r.patch(open)
		return r.seal(secret, sealed) || changed, nil
	})
}

// SealAttributes implements session.Sessions.
func (s *Service) SealAttributes(ctx context.Context, c session.Call, p session.AttributePatch, ifMatch *uint64) (session.Checked, error) {
	patch, err := p.Canonical()
	if err != nil {
		return session.Checked{}, session.OfSealed(err)
	}
	return s.patch(ctx, c, ifMatch, func(r *sessionRecord, id session.ID) (bool, error) {
		values := maps.Clone(session.Attributes(patch))
		maps.DeleteFunc(values, func(_ string, value json.RawMessage) bool { return session.IsDeletion(value) })
		sealed, err := s.seals.seal(s.config.Random, id, values)
		if err != nil {
			return false, err
		}
		return r.seal(patch, sealed), nil
	})
}

// patch changes the attributes of the called session. change tells whether it has changed any.
func (s *Service) patch(ctx context.Context, c session.Call, ifMatch *uint64, change func(r *sessionRecord, id session.ID) (bool, error)) (session.Checked, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	c.Consistency, c.MinIndex = session.Linearizable, ""
	t, err := s.target(ctx, c)
	if err != nil {
		return session.Checked{}, err
	}
	powerful := t.principal.has(session.RoleService, session.RoleAdmin) // also for a service's own session
	err = s.changeAttributes(ctx, t.found, func() (*found, error) { return s.lookAgain(ctx, t.presented) }, func(f *found) error {
		policy := f.policy()
		if !powerful && (policy == nil || policy.AttributesWrite != session.WriteByBearer) {
			return session.ErrAttributesForbidden()
		}
		if ifMatch != nil && *ifMatch != f.session.AttributesVersion {
			return session.ErrVersion("attributes")
		}
		changed, err := change(f.session, f.id)
		if err != nil {
			return err
		}
		if err := f.session.withinLimits(); err != nil {
			return err
		}
		if err := s.mayShow(t, f.session); err != nil {
			return err
		}
		if changed {
			f.session.AttributesVersion = nextVersion(f.session.AttributesVersion, f.nowMS)
		}
		f.session.use(f.rules(), f.nowMS, false)
		return nil
	})
	if err != nil {
		return session.Checked{}, err
	}
	return s.shown(t, s.meta())
}

// patch applies a canonical patch and tells whether that changes anything.
func (r *sessionRecord) patch(p session.AttributePatch) (changed bool) {
	for name, value := range p {
		_, sealed := r.Sealed[name]
		was, there := r.Attributes[name]
		delete(r.Sealed, name)
		if session.IsDeletion(value) {
			delete(r.Attributes, name)
			changed = changed || sealed || there
			continue
		}
		if r.Attributes == nil {
			r.Attributes = map[string]json.RawMessage{}
		}
		r.Attributes[name] = value
		changed = changed || sealed || !there || string(was) != string(value)
	}
	return changed
}

// seal puts sealed values in the place of what the patch names.
func (r *sessionRecord) seal(p session.AttributePatch, sealed map[string]sealedValue) (changed bool) {
	for name := range p {
		_, was := r.Sealed[name]
		_, there := r.Attributes[name]
		delete(r.Attributes, name)
		delete(r.Sealed, name)
		value, ok := sealed[name]
		if ok {
			if r.Sealed == nil {
				r.Sealed = map[string]sealedValue{}
			}
			r.Sealed[name] = value
		}
		changed = changed || ok || was || there
	}
	return changed
}

// withinLimits judges all attributes together.
func (r *sessionRecord) withinLimits() error {
	total := 0
	for name, value := range r.Attributes {
		total += len(name) + len(value)
	}
	for name, value := range r.Sealed {
		total += len(name) + len(value.Data) + sealOverhead
	}
	if len(r.Attributes)+len(r.Sealed) > session.MaxAttributes || total > session.MaxAttributesBytes {
		return session.ErrAttributesFull()
	}
	return nil
}
