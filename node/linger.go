package node

import "time"

// maxLinger bounds how long a batch waits for company.
const maxLinger = time.Millisecond

// linger says how long a batch may wait for company before it goes.
//
// When a batch is answered its callers come back one after the other. If the first of them started the next batch at once, it would
// travel nearly alone and all others would wait for its whole way: batches would be small and large in turn. So a
// batch waits until about as many have come as the last time, but for no longer than a small part of what a batch takes. A lone
// caller never waits.
type linger struct {
	size int           // of the last batch
	took time.Duration // by the last batch
}

// worthwhile is the size from which on waiting for company can pay.
const worthwhile = 4

// done takes in how the last batch went.
func (l *linger) done(size int, took time.Duration) { l.size, l.took = size, took }

// enough is the size at which a batch goes without waiting.
func (l *linger) enough() int {
	if l.size < worthwhile {
		return 1
	}
	return l.size * 3 / 4
}

// patience is how long a batch may wait for that size.
func (l *linger) patience() time.Duration { return min(l.took/4, maxLinger) }
