package bench

import (
	"maps"
	"slices"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

// Report is what a run found. Its JSON form is stable.
type Report struct {
	Workload    string      `json:"workload"`
	Consistency string      `json:"consistency"`
	Nodes       int         `json:"nodes"`
	Clients     int         `json:"clients"`
	Seconds     float64     `json:"seconds"`
	Operations  []Operation `json:"operations"` // by name
}

// Operation is one kind of request. Rate and latencies are those of successes.
type Operation struct {
	Name    string                  `json:"name"`
	Count   uint64                  `json:"count"`
	Rate    float64                 `json:"rate_per_s"`
	Latency Latency                 `json:"latency_ms"`
	Errors  map[session.Code]uint64 `json:"errors"` // by code; empty = none
}

// Latency in milliseconds.
type Latency struct {
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99_9"`
	Max  float64 `json:"max"`
}

// Failed is the number of requests that got an error.
func (r Report) Failed() uint64 {
	var n uint64
	for _, o := range r.Operations {
		for _, count := range o.Errors {
			n += count
		}
	}
	return n
}

func summarize(o Options, nodes int, elapsed time.Duration, workers []*worker) Report {
	consistency := "linearizable"
	if o.Consistency == session.Local {
		consistency = "local"
	}
	r := Report{Workload: o.Workload, Consistency: consistency, Nodes: nodes, Clients: o.Clients, Seconds: elapsed.Seconds(), Operations: []Operation{}}
	all := merge(workers)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		h := &all[name].latencies
		r.Operations = append(r.Operations, Operation{
			Name: name, Count: h.Count(), Rate: float64(h.Count()) / elapsed.Seconds(), Errors: all[name].errors,
			Latency: Latency{
				Mean: ms(h.Mean()), P50: ms(h.Quantile(0.5)), P90: ms(h.Quantile(0.9)), P99: ms(h.Quantile(0.99)),
				P999: ms(h.Quantile(0.999)), Max: ms(h.Max()),
			},
		})
	}
	return r
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
