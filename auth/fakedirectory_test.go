package auth_test

import (
	"bufio"
	"io"
	"net"
	"testing"
)

// Tags of the operations that a fake directory meets (RFC 4511).
const (
	bindRequest      = 0x60
	bindResponse     = 0x61
	searchEntry      = 0x64
	searchDone       = 0x65
	extendedRequest  = 0x77
	extendedResponse = 0x78
)

// fakeDirectory answers each request with what respond makes of its operation and bytes. It serves what slapd cannot: servers that fail
// in a certain way, and Active Directory's own.
func fakeDirectory(t *testing.T, respond func(operation byte, request string) [][]byte) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serveFake(c, respond)
		}
	}()
	return "ldap://" + l.Addr().String()
}

func serveFake(c net.Conn, respond func(byte, string) [][]byte) {
	defer c.Close()
	in := bufio.NewReader(c)
	for {
		message, err := readTLV(in)
		if err != nil || len(message) < 4 {
			return
		}
		id := message[:2+int(message[1])] // the message's number, an INTEGER
		for _, response := range respond(message[len(id)], string(message)) {
			if _, err := c.Write(tlv(0x30, id, response)); err != nil {
				return
			}
		}
	}
}

// readTLV reads one BER element and returns its content.
func readTLV(in *bufio.Reader) ([]byte, error) {
	var head [2]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return nil, err
	}
	n := int(head[1])
	if n >= 0x80 {
		long := make([]byte, n-0x80)
		if _, err := io.ReadFull(in, long); err != nil {
			return nil, err
		}
		n = 0
		for _, b := range long {
			n = n<<8 | int(b)
		}
	}
	content := make([]byte, n)
	_, err := io.ReadFull(in, content)
	return content, err
}

// tlv is a BER element of less than 64 KiB.
func tlv(tag byte, parts ...[]byte) []byte {
	var content []byte
	for _, p := range parts {
		content = append(content, p...)
	}
	return append([]byte{tag, 0x82, byte(len(content) >> 8), byte(len(content))}, content...)
}

// answer is a response with a result code, and what the operation adds.
func answer(operation byte, code uint16, more ...[]byte) []byte {
	return tlv(operation, append([][]byte{tlv(0x0a, []byte{byte(code)}), tlv(0x04), tlv(0x04)}, more...)...)
}

// entry is one entry that a search finds, with one value for each attribute.
func entry(dn string, attributes map[string]string) []byte {
	var list [][]byte
	for name, value := range attributes {
		list = append(list, tlv(0x30, tlv(0x04, []byte(name)), tlv(0x31, tlv(0x04, []byte(value)))))
	}
	return tlv(searchEntry, tlv(0x04, []byte(dn)), tlv(0x30, list...))
}
