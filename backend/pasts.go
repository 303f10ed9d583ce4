package backend

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// pasts keeps what is past of policies in records of its own, one for each policy: there may be far more of it than one record holds, and every request reads
// the cluster's. Whoever uses the store through it reads and writes the cluster's record as if that held everything.
//
// A record of the past is made before the cluster's names it, is never changed, and goes when that names it no more. So the change of a policy, with what it
// leaves of the past, is decided by one write as before.
type pasts struct {
	Store
	random io.Reader
	whole  atomic.Pointer[wholeCluster]
}

// wholeCluster is the cluster's record with what is past, as it was read last.
type wholeCluster struct {
	version Version
	value   []byte
	parts   map[string]keptPast // by pastRef.ID
}

// keptPast is a record of the past in the store.
type keptPast struct {
	version Version
	record  *pastRecord
}

var (
	errPastMissing = errors.New("what is past of a policy is missing")
	// errTooLarge is told of a record of the cluster that no store has room for, which nothing but thousands of admins can make.
	errTooLarge = errors.New("it is larger than a store must hold")
)

func newPasts(s Store, random io.Reader) *pasts { return &pasts{Store: s, random: random} }

const pastPrefix = "past "

func pastName(id string) Name { return Name{KindCluster, pastPrefix + id} }

// Get implements Store.
func (p *pasts) Get(ctx context.Context, names ...Name) (Snapshot, error) {
	got, err := p.Store.Get(ctx, names...)
	if err != nil {
		return got, err
	}
	for i := range got.Records {
		r := &got.Records[i]
		if r.Name != clusterName() || r.Version == "" {
			continue
		}
		whole, err := p.join(ctx, *r)
		if err != nil {
			return Snapshot{}, err
		}
		r.Version, r.Value = whole.version, whole.value // it is decoded only
	}
	return got, nil
}

// join reads what is past of the policies in a record of the cluster. Where that has been replaced since, and what it names is gone, it takes the new one.
func (p *pasts) join(ctx context.Context, r Record) (*wholeCluster, error) {
	for {
		last := p.whole.Load()
		if last != nil && last.version == r.Version {
			return last, nil
		}
		c := &clusterRecord{}
		if err := decode(r.Value, c); err != nil {
			return nil, internalError("read the store", err)
		}
		parts, err := p.read(ctx, c.PastIn, last)
		if err == nil {
			return p.remember(r.Version, c, parts)
		}
		if !errors.Is(err, errPastMissing) {
			return nil, err
		}
		anew, err := p.Store.Get(ctx, clusterName())
		if err != nil {
			return nil, err
		}
		if anew.Records[0].Version == r.Version {
			return nil, internalError("read the store", errPastMissing)
		}
		if r = anew.Records[0]; r.Version == "" {
			return nil, internalError("read the store", errNoCluster)
		}
	}
}

// read reads records of the past, but for those that were read with the last record of the cluster: they never change.
func (p *pasts) read(ctx context.Context, refs []pastRef, last *wholeCluster) (map[string]keptPast, error) {
	parts := make(map[string]keptPast, len(refs))
	var names []Name
	for _, ref := range refs {
		if last != nil && last.parts[ref.ID].record != nil {
			parts[ref.ID] = last.parts[ref.ID]
			continue
		}
		names = append(names, pastName(ref.ID))
	}
	for some := range slices.Chunk(names, MaxGet) {
		got, err := p.Store.Get(ctx, some...)
		if err != nil {
			return nil, err
		}
		for _, r := range got.Records {
			if r.Version == "" {
				return nil, errPastMissing
			}
			record := &pastRecord{}
			if err := decode(r.Value, record); err != nil {
				return nil, internalError("read the past of a policy", err)
			}
			parts[strings.TrimPrefix(r.ID, pastPrefix)] = keptPast{r.Version, record}
		}
	}
	return parts, nil
}

// remember puts the parts together.
func (p *pasts) remember(version Version, c *clusterRecord, parts map[string]keptPast) (*wholeCluster, error) {
	for _, ref := range c.PastIn {
		for _, form := range parts[ref.ID].record.Forms {
			c.Past = append(c.Past, pastPolicy{ref.Policy, form})
		}
	}
	c.PastIn = nil
	value, err := encode(c)
	if err != nil {
		return nil, internalError("read the store", err)
	}
	whole := &wholeCluster{version, value, parts}
	p.whole.Store(whole)
	return whole, nil
}

// Put implements Store.
func (p *pasts) Put(ctx context.Context, name Name, value []byte, was Version, expires time.Time) (Version, error) {
	if name != clusterName() {
		return p.Store.Put(ctx, name, value, was, expires)
	}
	c := &clusterRecord{}
	if err := decode(value, c); err != nil {
		return "", internalError("write the cluster's record", err)
	}
	before, err := p.replaced(ctx, was)
	if errors.Is(err, ErrChanged) {
		return "", err
	}
	if err != nil {
		return "", undecided("write the cluster's record", err)
	}
	made, err := p.part(ctx, c, before)
	if err != nil {
		p.drop(ctx, made)
		return "", undecided("write what is past of a policy", err)
	}
	version, err := p.putCluster(ctx, c, was, expires)
	switch {
	case err == nil:
		for _, ref := range c.PastIn {
			delete(before, ref.ID)
		}
		p.drop(ctx, before)
	case errors.Is(err, ErrChanged):
		p.drop(ctx, made)
	}
	return version, err
}

func (p *pasts) putCluster(ctx context.Context, c *clusterRecord, was Version, expires time.Time) (Version, error) {
	value, err := encode(c)
	if err == nil && len(value) > MaxValueBytes {
		err = errTooLarge
	}
	if err != nil {
		return "", internalError("write the cluster's record", err)
	}
	return p.Store.Put(ctx, clusterName(), value, was, expires)
}

// replaced tells what the record of the cluster names that is about to be replaced.
func (p *pasts) replaced(ctx context.Context, was Version) (map[string]keptPast, error) {
	got, err := p.Store.Get(ctx, clusterName())
	if err != nil {
		return nil, err
	}
	there := got.Records[0]
	if there.Version != was {
		return nil, ErrChanged
	}
	if was == "" {
		return nil, nil
	}
	whole, err := p.join(ctx, there)
	if err != nil {
		return nil, err
	}
	if whole.version != was {
		return nil, ErrChanged
	}
	return maps.Clone(whole.parts), nil
}

// part takes what is past out of the cluster's record, makes records of what has changed of it, and lets that name them.
func (p *pasts) part(ctx context.Context, c *clusterRecord, before map[string]keptPast) (made map[string]keptPast, err error) {
	kept := make(map[string]string, len(before)) // ids by policies
	for id, part := range before {
		kept[part.record.Policy] = id
	}
	made = map[string]keptPast{}
	for _, record := range pastRecords(c.Past) {
		if id, has := kept[record.Policy]; has && slices.Equal(before[id].record.Forms, record.Forms) {
			c.PastIn = append(c.PastIn, pastRef{record.Policy, id})
			continue
		}
		id, part, err := p.make(ctx, record)
		if err != nil {
			return made, err
		}
		made[id] = part
		c.PastIn = append(c.PastIn, pastRef{record.Policy, id})
	}
	c.Past = nil
	return made, nil
}

// make makes a record. Its id is a new one, because a record that was deleted once might be deleted again, by whoever comes late.
func (p *pasts) make(ctx context.Context, record *pastRecord) (id string, part keptPast, err error) {
	var drawn [16]byte
	if _, err := io.ReadFull(p.random, drawn[:]); err != nil {
		return "", keptPast{}, fmt.Errorf("draw a record's id: %w", err)
	}
	id = hex.EncodeToString(drawn[:])
	value, err := encode(record)
	if err == nil && len(value) > MaxValueBytes {
		err = errTooLarge
	}
	if err != nil {
		return "", keptPast{}, err
	}
	version, err := p.Store.Put(ctx, pastName(id), value, "", time.Time{})
	return id, keptPast{version, record}, err
}

// drop deletes records that nothing names. What it cannot delete is for sweep.
func (p *pasts) drop(ctx context.Context, parts map[string]keptPast) {
	for id, part := range parts {
		_ = p.Store.Delete(ctx, pastName(id), part.version)
	}
}

// sweep deletes what changes that broke off have left. It replaces the cluster's record first, unchanged: so a change that is under way, and has made
// records which nothing names yet, comes too late.
func (p *pasts) sweep(ctx context.Context) error {
	strays, err := p.all(ctx)
	if err != nil || len(strays) == 0 {
		return err
	}
	got, err := p.Store.Get(ctx, clusterName())
	if err != nil || got.Records[0].Version == "" {
		return err
	}
	c := &clusterRecord{}
	if err := decode(got.Records[0].Value, c); err != nil {
		return internalError("read the store", err)
	}
	for _, ref := range c.PastIn {
		delete(strays, ref.ID)
	}
	if len(strays) == 0 {
		return nil
	}
	if _, err := p.Store.Put(ctx, clusterName(), got.Records[0].Value, got.Records[0].Version, time.Time{}); err != nil {
		return err
	}
	p.drop(ctx, strays)
	return nil
}

// all are the records of the past that there are.
func (p *pasts) all(ctx context.Context) (map[string]keptPast, error) {
	found := map[string]keptPast{}
	for next, more := "", true; more; more = next != "" {
		page, err := p.Store.Scan(ctx, KindCluster, next, MaxScan)
		if err != nil {
			return nil, err
		}
		for _, r := range page.Records {
			if id, is := strings.CutPrefix(r.ID, pastPrefix); is {
				found[id] = keptPast{version: r.Version}
			}
		}
		next = page.Next
	}
	return found, nil
}

// pastRecords are what is past, policy by policy, in the order in which it comes.
func pastRecords(all []pastPolicy) (out []*pastRecord) {
	at := map[string]*pastRecord{}
	for _, p := range all {
		record := at[p.Name]
		if record == nil {
			record = &pastRecord{Policy: p.Name}
			at[p.Name] = record
			out = append(out, record)
		}
		record.Forms = append(record.Forms, p.pastForm)
	}
	return out
}

var _ Store = (*pasts)(nil)
