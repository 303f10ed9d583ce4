// Package freeport finds addresses of this machine on which a node of a test can listen.
package freeport

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
)

// Ports come from below the range from which kernels take ports for outgoing connections: a port of that range may be some
// connection's by the time that a node wants it, or wants it back after a restart.
const (
	first = 12_000
	last  = 31_999
)

// Dealer deals out each port once, as long as there are others. Safe for concurrent use.
type Dealer struct {
	mu   sync.Mutex
	next int
}

// New makes a dealer that starts somewhere at random, so that two processes rarely meet.
func New() *Dealer { return &Dealer{next: first + rand.IntN(last-first)} }

// Address returns a loopback address on which nobody listens, for TCP and UDP.
func (d *Dealer) Address() (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for range last - first {
		if d.next++; d.next > last {
			d.next = first
		}
		if address := fmt.Sprintf("127.0.0.1:%d", d.next); free(address) {
			return address, nil
		}
	}
	return "", errors.New("find a free port: all of them are taken")
}

func free(address string) bool {
	var settings net.ListenConfig
	stream, err := settings.Listen(context.Background(), "tcp", address)
	if err != nil {
		return false
	}
	defer stream.Close()
	packets, err := settings.ListenPacket(context.Background(), "udp", address)
	if err != nil {
		return false
	}
	packets.Close()
	return true
}
