package link

import (
	"bufio"
	"errors"
	"net"
	"runtime"
	"sync"
	"time"
)

// Bounds of a connection's buffers and waits.
const (
	readBufferBytes = 64 << 10
	// maxQueuedBytes is how much may wait for the writer before senders wait too. One frame may go over it.
	maxQueuedBytes = 4 << 20
	// keptBufferBytes is the largest write buffer that is used again rather than left to the garbage collector.
	keptBufferBytes = 256 << 10
	// gatherBytes is how much makes a write worth a system call without looking for more.
	gatherBytes = 16 << 10
	// writeTimeout bounds one write: a peer that takes nothing for so long is gone.
	writeTimeout = 30 * time.Second
	// clientSilence and serverSilence are the intervals without a byte after which a connection is closed. The dialer asks
	// (a ping an interval), the acceptor only listens.
	clientSilence = 4
	serverSilence = 30
)

// errSilent: the peer stopped answering probes.
var errSilent = errors.New("the peer stopped answering: connection closed")

// wire is a connection that carries frames: senders append to a buffer under mu, one goroutine writes whatever has
// gathered, so that under load many frames leave in one system call. The reading side is the owner's.
type wire struct {
	conn    net.Conn
	tracked *trackedConn // below conn, for its byte count
	reader  *bufio.Reader
	stopped chan struct{} // closed by the first fail
	written chan struct{} // closed when the writer has ended

	mu       sync.Mutex
	work     sync.Cond     // on mu: buf has bytes, flushing or closed
	buf      []byte        // frames not yet given to the writer
	queued   uint64        // bytes ever appended
	sent     uint64        // bytes ever taken by the kernel
	room     chan struct{} // made by the first who waits for room, closed when there is some
	flushing bool          // the writer ends when buf is empty
	closed   bool
	err      error // why it closed
}

func newWire(conn net.Conn, tracked *trackedConn) *wire {
	w := &wire{
		conn:    conn,
		tracked: tracked,
		reader:  bufio.NewReaderSize(conn, readBufferBytes),
		stopped: make(chan struct{}),
		written: make(chan struct{}),
	}
	w.work.L = &w.mu
	return w
}

// fail closes the wire for the reason given; only the first reason counts.
func (w *wire) fail(err error) {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return
	}
	w.closed, w.err = true, err
	w.freeRoom()
	w.work.Broadcast()
	w.mu.Unlock()
	close(w.stopped)
	w.tracked.Close() // ends a read and a write under way; TLS has nothing to say any more
}

// flush lets the writer write what is queued and then close the wire.
func (w *wire) flush() {
	w.mu.Lock()
	w.flushing = true
	w.work.Broadcast()
	w.mu.Unlock()
}

// waitRoom returns what to wait on for room. mu is held.
func (w *wire) waitRoom() <-chan struct{} {
	if w.room == nil {
		w.room = make(chan struct{})
	}
	return w.room
}

// freeRoom wakes all who wait for room. mu is held.
func (w *wire) freeRoom() {
	if w.room != nil {
		close(w.room)
		w.room = nil
	}
}

// full reports whether senders must wait. mu is held.
func (w *wire) full() bool { return len(w.buf) >= maxQueuedBytes }

// appended accounts for frames that were just appended to buf and wakes the writer. before is len(buf) before. mu is held.
func (w *wire) appended(before int) {
	w.queued += uint64(len(w.buf) - before)
	if before == 0 {
		w.work.Signal()
	}
}

// control queues a frame without body unless senders have to wait: then the peer has bytes enough to see that we live.
func (w *wire) control(kind byte, id uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || w.full() {
		return
	}
	before := len(w.buf)
	w.buf = appendHeader(w.buf, kind, id, 0)
	w.appended(before)
}

// writeLoop writes until the wire is closed or flushed. It is the wire's only writer.
func (w *wire) writeLoop() {
	defer close(w.written)
	var batch []byte
	for {
		batch = w.take(batch)
		if batch == nil {
			w.fail(ErrClosed)
			return
		}
		err := w.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
		n := 0
		if err == nil {
			n, err = w.conn.Write(batch)
		}
		w.mu.Lock()
		w.sent += uint64(n)
		w.mu.Unlock()
		if err != nil {
			w.fail(err)
			return
		}
	}
}

// take waits for frames and exchanges the full buffer for an empty one; nil = the writer is to end.
func (w *wire) take(empty []byte) []byte {
	if cap(empty) > keptBufferBytes {
		empty = nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.buf) == 0 && !w.closed && !w.flushing {
		w.work.Wait()
	}
	if !w.closed && len(w.buf) < gatherBytes {
		// Whoever is ready to send now joins this write: a yield costs far less than a system call.
		w.mu.Unlock()
		runtime.Gosched()
		w.mu.Lock()
	}
	if w.closed || len(w.buf) == 0 {
		return nil
	}
	batch := w.buf
	w.buf = empty[:0]
	w.freeRoom()
	return batch
}

// watch closes the wire after silence intervals without a byte read, and pings the peer in each of them if probe is set. It counts
// intervals, not time: a process that was stopped for a minute finds one silent interval when it goes on. retire is asked once an
// interval whether the wire is to be closed because nobody needs it.
func (w *wire) watch(interval time.Duration, silence int, probe bool, retire func() bool) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	last, silent := w.tracked.received.Load(), 0
	for {
		select {
		case <-w.stopped:
			return
		case <-ticker.C:
		}
		if retire() {
			w.fail(errIdle)
			return
		}
		if now := w.tracked.received.Load(); now != last {
			last, silent = now, 0
			continue
		}
		if silent++; silent >= silence {
			w.fail(errSilent)
			return
		}
		if probe {
			w.control(framePing, 0)
		}
	}
}

// errIdle: nobody called for a long time.
var errIdle = errors.New("idle connection closed")
