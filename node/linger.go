package node

import "time"

// maxLinger bounds how long a batch waits for company.
const maxLinger = 3 * time.Millisecond

// linger says how long a batch may wait for company before it goes.
//
// When a batch is answered its callers come back one after the other. If the first of them started the next batch at once, it would
// travel nearly alone and all others would wait for its whole way. Commands that came meanwhile would make it half of what it
// could be: half of the callers would always travel while the other half waits. So a batch waits until most of the callers are there: as
// many as were in the last one and queued behind it. But it waits for no longer than a small part of what a batch takes, and a
// lone caller never does.
type linger struct {
	callers int           // in the last batch and queued behind it when it was done
	took    time.Duration // by the last batch
}

// worthwhile is the size from which on waiting for company can pay.
const worthwhile = 4

// done takes in how the last batch went: its size, what was queued behind it at its end, and its time.
func (l *linger) done(size, queued int, took time.Duration) { l.callers, l.took = size+queued, took }

// enough is the size at which a batch goes without waiting.
func (l *linger) enough() int {
	if l.callers < worthwhile {
		return 1
	}
	return l.callers * 7 / 8
}

// patience is how long a batch may wait for that size.
func (l *linger) patience() time.Duration { return min(l.took/2, maxLinger) }
