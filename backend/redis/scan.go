package redis

import (
	"container/heap"
	"context"
	"fmt"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hydrastore/hydrastore/backend"
)

// maxPageBytes bounds what one page of a scan reads beyond its first records; the page is then shorter than was asked for.
const maxPageBytes = 8 << 20

// Scan implements backend.Store, in the order of the bytes of the ids. A place is the last id before it.
func (s *Store) Scan(ctx context.Context, kind backend.Kind, after string, limit int) (backend.Page, error) {
	if limit < 1 || limit > backend.MaxScan {
		return backend.Page{}, fmt.Errorf("scan for %d records: from 1 to %d", limit, backend.MaxScan)
	}
	if err := s.usable(ctx); err != nil {
		return backend.Page{}, err
	}
	var ids []string
	var more bool
	err := s.read(ctx, func() (err error) { ids, more, err = s.scanIndex(ctx, kind, after, limit); return err })
	if err != nil {
		return backend.Page{}, err
	}
	return s.page(ctx, kind, ids, more)
}

// page reads the records of ids. Those that are gone meanwhile are left out.
func (s *Store) page(ctx context.Context, kind backend.Kind, ids []string, more bool) (backend.Page, error) {
	var page backend.Page
	size := 0
	for first := true; first || len(ids) > 0; first = false {
		part := ids[:min(len(ids), backend.MaxGet)]
		ids = ids[len(part):]
		names := make([]backend.Name, len(part))
		for i, id := range part {
			names[i] = backend.Name{Kind: kind, ID: id}
		}
		got, err := s.Get(ctx, names...)
		if err != nil {
			return backend.Page{}, err
		}
		if first {
			page.Now = got.Now
		}
		for _, r := range got.Records {
			if r.Version != "" {
				page.Records = append(page.Records, r)
				size += len(r.Value)
			}
		}
		if len(part) > 0 && (len(ids) > 0 && size > maxPageBytes || len(ids) == 0 && more) {
			page.Next = part[len(part)-1]
			break
		}
	}
	return page, nil
}

// scanIndex gives the first ids after a place, at most limit, and whether there are more. It may give fewer though there are more, but
// then at least one.
func (s *Store) scanIndex(ctx context.Context, kind backend.Kind, after string, limit int) (ids []string, more bool, err error) {
	from := "-"
	if after != "" {
		from = "(" + after
	}
	// Ids are dealt out evenly: a bucket's share, and some more, is nearly always enough.
	share := limit/buckets + limit/(2*buckets) + 8
	v := s.visit()
	asked := make([]*goredis.StringSliceCmd, buckets)
	for i := range asked {
		index := s.bucket(kind, i).index
		asked[i] = v.at(ctx, index).ZRangeByLex(ctx, index, &goredis.ZRangeBy{Min: from, Max: "+", Count: int64(share)})
	}
	if err := v.exec(ctx); err != nil {
		return nil, false, err
	}
	var runs runs
	for _, cmd := range asked {
		run, err := cmd.Result()
		if err != nil {
			return nil, false, err
		}
		if len(run) > 0 {
			runs = append(runs, indexRun{ids: run, cut: len(run) == share})
		}
	}
	ids, more = runs.merge(limit)
	return ids, more, nil
}

// indexRun is what one bucket has given; cut = it may have more.
type indexRun struct {
	ids []string
	cut bool
}

// runs is a heap of runs by their first ids.
type runs []indexRun

func (r runs) Len() int           { return len(r) }
func (r runs) Less(i, j int) bool { return r[i].ids[0] < r[j].ids[0] }
func (r runs) Swap(i, j int)      { r[i], r[j] = r[j], r[i] }
func (r *runs) Push(x any)        { *r = append(*r, x.(indexRun)) }
func (r *runs) Pop() any {
	last := (*r)[len(*r)-1]
	*r = (*r)[:len(*r)-1]
	return last
}

// merge takes the smallest ids, up to the limit or to where a bucket may have smaller ones that it has not given.
func (r *runs) merge(limit int) (ids []string, more bool) {
	heap.Init(r)
	for len(*r) > 0 {
		if len(ids) == limit {
			return ids, true
		}
		first := &(*r)[0]
		ids = append(ids, first.ids[0])
		first.ids = first.ids[1:]
		switch {
		case len(first.ids) > 0:
			heap.Fix(r, 0)
		case first.cut:
			return ids, true
		default:
			heap.Pop(r)
		}
	}
	return ids, false
}
