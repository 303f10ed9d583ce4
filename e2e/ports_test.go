package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
)

// Ports for nodes come from below the range from which kernels take ports for outgoing connections. A node that was killed
// wants its port back, and a port of that range could be some connection's by then.
const (
	firstPort = 12_000
	lastPort  = 31_999
)

// ports deals out each port once in a run; the start is random, so that two runs at a time rarely meet.
var ports = struct {
	sync.Mutex
	next int
}{next: firstPort + rand.IntN(lastPort-firstPort)}

// freeAddress returns an address of this machine on which nobody listens, for TCP and UDP.
func freeAddress(t *testing.T) string {
	t.Helper()
	ports.Lock()
	defer ports.Unlock()
	for range lastPort - firstPort {
		ports.next++
		if ports.next > lastPort {
			ports.next = firstPort
		}
		if address := fmt.Sprintf("127.0.0.1:%d", ports.next); isFree(address) {
			return address
		}
	}
	t.Fatal("no free port")
	return ""
}

func isFree(address string) bool {
	stream, err := net.Listen("tcp", address)
	if err != nil {
		return false
	}
	defer stream.Close()
	packets, err := net.ListenPacket("udp", address)
	if err != nil {
		return false
	}
	packets.Close()
	return true
}
