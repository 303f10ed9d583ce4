package fsm_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

const million = 1_000_000

// filled makes a machine with a million sessions, so many for each user, from 65,536 addresses, created within ten minutes.
func filled(b *testing.B, sessionsPerUser int) *fsm.Machine {
	b.Helper()
	m := fsm.New(fsm.Options{HashSeed: 1})
	commands := make([]*fsmpb.Command, benchBatch)
	for first := 0; first < million; first += benchBatch {
		for i := range commands {
			n := first + i
			c := vouched(n, fmt.Sprintf("user-%07d", n/sessionsPerUser))
			c.Address = []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 1, byte(n >> 8), byte(n)}
			commands[i] = create(c)
		}
		applyBench(b, m, start+int64(first/benchBatch)*600, commands...)
	}
	return m
}

func applyBench(b *testing.B, m *fsm.Machine, clock int64, commands ...*fsmpb.Command) *fsm.Applied {
	applied, err := m.Apply(m.Index()+1, term, encode(b, clock, commands...))
	if err != nil {
		b.Fatal(err)
	}
	return applied
}

// residentBytes is what the process occupies, 0 where the system does not tell.
func residentBytes() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(status), "VmRSS:")
	fields := strings.Fields(after)
	if len(fields) == 0 {
		return 0
	}
	kib, _ := strconv.ParseInt(fields[0], 10, 64)
	return kib << 10
}

func heapInuse() uint64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapInuse
}

// BenchmarkMemory1M measures what a session occupies, its share of its user and its address included.
func BenchmarkMemory1M(b *testing.B) {
	for _, perUser := range []int{1, 10} {
		b.Run(fmt.Sprintf("sessions_per_user=%d", perUser), func(b *testing.B) {
			for range b.N {
				before := heapInuse()
				m := filled(b, perUser)
				held := heapInuse() - before
				b.ReportMetric(float64(held)/million, "heap-bytes/session")
				b.ReportMetric(float64(residentBytes())/million, "process-rss-bytes/session")
				runtime.KeepAlive(m)
			}
		})
	}
}

// BenchmarkApplyStallDuringSnapshot1M applies touches and creates while a snapshot is written, and reports the longest entry, and, which does
// not depend on what else the machine does, how much the first one behind the snapshot allocates, most of it copies.
func BenchmarkApplyStallDuringSnapshot1M(b *testing.B) {
	m := filled(b, 1)
	random := rand.New(rand.NewPCG(1, 1))
	next := million
	entry := func() time.Duration {
		commands := make([]*fsmpb.Command, 256)
		for i := range commands {
			if i%4 == 0 {
				commands[i] = create(vouched(next, fmt.Sprintf("user-%07d", next)))
				next++
			} else {
				commands[i] = touch(random.IntN(million))
			}
		}
		data := encode(b, start+601_000+int64(next-million), commands...)
		index := m.Index() + 1
		began := time.Now()
		if _, err := m.Apply(index, term, data); err != nil {
			b.Fatal(err)
		}
		return time.Since(began)
	}
	runtime.GC()
	b.ResetTimer()
	for range b.N {
		var alone, beside []time.Duration
		for range 400 {
			alone = append(alone, entry())
		}
		b.ReportMetric(float64(allocatedBehindASnapshot(m, entry)>>10), "first-entry-KiB")
		began := time.Now()
		s := m.Snapshot()
		freeze := time.Since(began)
		done := make(chan time.Duration)
		go func() {
			if _, err := s.WriteTo(io.Discard); err != nil {
				b.Error(err)
			}
			done <- time.Since(began)
		}()
		var written time.Duration
		for written == 0 {
			select {
			case written = <-done:
			default:
				beside = append(beside, entry())
			}
		}
		s.Release()
		reportMillis(b, freeze, "freeze-ms")
		reportMillis(b, written, "write-ms")
		reportMillis(b, slices.Max(alone), "max-entry-alone-ms")
		reportMillis(b, slices.Max(beside), "max-entry-ms")
		b.ReportMetric(float64(len(beside)), "entries")
	}
}

func allocatedBehindASnapshot(m *fsm.Machine, entry func() time.Duration) uint64 {
	defer m.Snapshot().Release()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	entry()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func reportMillis(b *testing.B, d time.Duration, unit string) {
	b.ReportMetric(float64(d.Microseconds())/1000, unit)
}

// BenchmarkRestore1M measures a start from a snapshot.
func BenchmarkRestore1M(b *testing.B) {
	m := filled(b, 1)
	var data bytes.Buffer
	s := m.Snapshot()
	began := time.Now()
	if _, err := s.WriteTo(&data); err != nil {
		b.Fatal(err)
	}
	written := time.Since(began)
	s.Release()
	m = fsm.New(fsm.Options{})
	b.ResetTimer()
	for range b.N {
		if err := m.Restore(bytes.NewReader(data.Bytes())); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	reportMillis(b, written, "write-ms")
	b.ReportMetric(float64(data.Len())/million, "snapshot-bytes/session")
	if m.Stats().Sessions != million {
		b.Fatal("sessions are missing")
	}
}

// BenchmarkExpireAll1M lets a million sessions fall due at once, and reports the longest entry and how long reads of the other
// sessions took before and meanwhile. Ticks follow one another at once, as fast as this machine applies them: the worst case.
func BenchmarkExpireAll1M(b *testing.B) {
	for range b.N {
		b.StopTimer()
		m := filled(b, 1)
		applyBench(b, m, start+600_000, putPolicy(timers("stay", 36_000_000, 0, 0)))
		const staying = 10_000
		for first := 0; first < staying; first += 500 {
			commands := make([]*fsmpb.Command, 500)
			for i := range commands {
				c := vouched(million+first+i, "stays")
				c.Policy = "stay"
				commands[i] = create(c)
			}
			applyBench(b, m, start+600_000, commands...)
		}
		keys := make([]session.KeyHash, staying)
		for i := range keys {
			keys[i] = keyOf(million + i)
		}
		runtime.GC()
		before := readFor(m, keys, func() { time.Sleep(300 * time.Millisecond) })
		b.StartTimer()
		var longest time.Duration
		entries := 0
		during := readFor(m, keys, func() {
			clock := start + 3_000_000
			for m.Stats().Sessions > staying {
				data := encode(b, clock)
				began := time.Now()
				if _, err := m.Apply(m.Index()+1, term, data); err != nil {
					b.Error(err)
					return
				}
				longest = max(longest, time.Since(began))
				entries++
			}
		})
		reportMillis(b, longest, "max-tick-ms")
		b.ReportMetric(float64(entries), "ticks")
		b.ReportMetric(percentile(before, 99).Seconds()*1e6, "read-p99-before-µs")
		b.ReportMetric(percentile(during, 99).Seconds()*1e6, "read-p99-during-µs")
	}
}

// readFor reads sessions, up to 50,000 a second, while f runs, and returns how long each took.
func readFor(m *fsm.Machine, keys []session.KeyHash, f func()) []time.Duration {
	var took []time.Duration
	stop := make(chan struct{})
	var reader sync.WaitGroup
	reader.Add(1)
	go func() {
		defer reader.Done()
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			began := time.Now()
			m.SessionByKey(keys[i%len(keys)])
			took = append(took, time.Since(began))
			for time.Since(began) < 20*time.Microsecond {
				runtime.Gosched()
			}
		}
	}()
	f()
	close(stop)
	reader.Wait()
	return took
}

func percentile(took []time.Duration, p int) time.Duration {
	slices.Sort(took)
	return took[len(took)*p/100]
}
