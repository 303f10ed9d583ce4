// Package latency keeps counts of durations in buckets of equal relative width, so that millions of samples need a few
// kilobytes and a percentile is exact to 1.6 %.
package latency

import (
	"math"
	"math/bits"
	"time"
)

const (
	subBits = 6 // 64 buckets for each power of two: half of one is at most 1.6 % off
	sub     = 1 << subBits
	buckets = (63 - subBits + 1) * sub
)

// Histogram counts durations from a nanosecond to centuries. It is not safe for concurrent use: give each goroutine its own
// and Add them up.
type Histogram struct {
	counts [buckets]uint64
	total  uint64
	sum    float64
	most   time.Duration
	least  time.Duration
}

// Record counts one duration; a negative one counts as 0.
func (h *Histogram) Record(d time.Duration) {
	d = max(d, 0)
	if h.total == 0 || d < h.least {
		h.least = d
	}
	h.counts[bucket(d)]++
	h.total++
	h.sum += float64(d)
	h.most = max(h.most, d)
}

// Add counts everything that other has counted.
func (h *Histogram) Add(other *Histogram) {
	if other.total == 0 {
		return
	}
	if h.total == 0 || other.least < h.least {
		h.least = other.least
	}
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.total += other.total
	h.sum += other.sum
	h.most = max(h.most, other.most)
}

// Count is the number of samples.
func (h *Histogram) Count() uint64 { return h.total }

// Mean is the average, 0 without samples.
func (h *Histogram) Mean() time.Duration {
	if h.total == 0 {
		return 0
	}
	return time.Duration(h.sum / float64(h.total))
}

// Max is the longest sample, exactly.
func (h *Histogram) Max() time.Duration { return h.most }

// Quantile is the duration that the part q (0 to 1) of the samples does not exceed.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	rank := uint64(math.Ceil(q * float64(h.total)))
	rank = min(max(rank, 1), h.total)
	var seen uint64
	for i, n := range h.counts {
		if seen += n; seen >= rank {
			return min(max(middle(i), h.least), h.most)
		}
	}
	return h.most
}

// bucket: below 64 ns one for each nanosecond, above 64 for each power of two.
func bucket(d time.Duration) int {
	v := uint64(d)
	if v < sub {
		return int(v)
	}
	shift := bits.Len64(v) - 1 - subBits
	return (shift+1)*sub + int(v>>shift) - sub
}

func middle(bucket int) time.Duration {
	if bucket < sub {
		return time.Duration(bucket)
	}
	shift := bucket/sub - 1
	low := uint64(bucket%sub+sub) << shift
	return time.Duration(low + (1<<shift)/2)
}
