package redis

import (
	"hash/fnv"
	"strconv"

	"github.com/hydrastore/hydrastore/backend"
)

// buckets is how many parts the ids of a kind are dealt out to: also how many servers of a cluster can share one kind's load.
// It is part of the layout and never changes.
const buckets = 64

// bucket is one part of the ids of a kind; all of its keys are in one slot of a cluster.
type bucket struct {
	index, due string
	record     string // begins the keys of the records
}

func (s *Store) bucket(kind backend.Kind, i int) bucket {
	text := strconv.Itoa(i)
	if len(text) == 1 {
		text = "0" + text
	}
	index := s.config.Prefix + ":{" + string(rune(kind)) + text + "}"
	return bucket{index: index, due: index + "due", record: index + ":"}
}

func (s *Store) bucketOf(name backend.Name) bucket {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name.ID))
	return s.bucket(name.Kind, int(h.Sum32()%buckets))
}

func (s *Store) key(name backend.Name) string { return s.bucketOf(name).record + name.ID }

// clockKey has no value; its slot says which member of a cluster everybody takes the time from.
func (s *Store) clockKey() string { return s.config.Prefix + ":{clock}" }
