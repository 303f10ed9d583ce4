package latency_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/cmd/internal/latency"
)

func TestQuantilesAreNearTheSortedSamples(t *testing.T) {
	t.Parallel()
	const seed = 7
	random := rand.New(rand.NewPCG(seed, seed))
	var whole latency.Histogram
	parts := [2]latency.Histogram{}
	samples := make([]time.Duration, 20_000)
	for i := range samples {
		samples[i] = time.Duration(math.Exp(random.Float64() * 24)) // 1 ns to 26 s, every scale alike
		parts[i%2].Record(samples[i])
	}
	whole.Add(&parts[0])
	whole.Add(&parts[1])
	whole.Add(&latency.Histogram{})
	slices.Sort(samples)
	for _, q := range []float64{0, 0.001, 0.5, 0.9, 0.99, 0.999, 1} {
		want := samples[max(int(math.Ceil(q*float64(len(samples))))-1, 0)]
		got := whole.Quantile(q)
		if off := math.Abs(float64(got-want)) / float64(want); off > 0.016 && got-want > 1 {
			t.Errorf("seed %d: quantile %v: got %v, want %v (%.1f %% off)", seed, q, got, want, 100*off)
		}
	}
	if whole.Max() != samples[len(samples)-1] || whole.Count() != uint64(len(samples)) {
		t.Errorf("got max %v of %d, want %v of %d", whole.Max(), whole.Count(), samples[len(samples)-1], len(samples))
	}
}

func TestEdges(t *testing.T) {
	t.Parallel()
	var h latency.Histogram
	if h.Quantile(0.5) != 0 || h.Mean() != 0 || h.Max() != 0 {
		t.Error("an empty histogram must answer 0")
	}
	h.Record(-time.Second)
	h.Record(math.MaxInt64)
	if got := h.Quantile(0.5); got != 0 {
		t.Errorf("the lower of {0, longest}: got %v", got)
	}
	if got := h.Quantile(1); got < math.MaxInt64/100*98 {
		t.Errorf("the longest duration: got %v", got)
	}
	var same latency.Histogram
	for range 10 {
		same.Record(123456789)
	}
	if same.Quantile(0.5) != 123456789 || same.Mean() != 123456789 {
		t.Errorf("ten times the same: got %v and %v", same.Quantile(0.5), same.Mean())
	}
}
