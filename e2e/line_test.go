package e2e_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// Bounds of one request. Nodes answer within their request timeout (10 s; 20 s under the race detector) or say why not.
const (
	dialTimeout   = 30 * time.Second
	answerTimeout = 60 * time.Second
)

// line is one HTTP/1.1 connection to an address, opened when needed and kept. It sends each request once: whatever goes
// wrong is the caller's to see. Not safe for concurrent use.
type line struct {
	address string
	conn    net.Conn
	reader  *bufio.Reader
}

// request is what a test asks.
type request struct {
	method, path string
	key          string            // Authorization
	subject      string            // Hydrastore-Session
	headers      map[string]string // more of them
	body         any               // sent as JSON; nil = none
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	text   []byte
	body   body
}

// body holds the members of all answers that tests look at.
type body struct {
	Key        string
	ID         string
	Number     uint64
	User       string
	Policy     string
	ClientIP   string    `json:"client_ip"`
	CreatedAt  time.Time `json:"created_at"`
	ExpiresAt  time.Time `json:"expires_at"`
	Idle       float64   `json:"idle_timeout_s"`
	Permanent  bool
	Prompt     bool
	Version    uint64 `json:"attributes_version"`
	Attributes attributes
	Items      []body
	NextCursor string `json:"next_cursor"`
	OfNode     string `json:"sessions_node"`
	Revoked    int
	Code       string
	Detail     string
	ClusterID  string `json:"cluster_id"`
	NodeID     string `json:"node_id"`
	LeaderID   string `json:"leader_id"`
	Members    []member

	FailuresTolerated int `json:"failures_tolerated"`
}

// member is a node as the cluster lists it.
type member struct {
	ID          string
	Name        string
	Role        string
	Healthy     bool
	PeerAddress string `json:"peer_address"`
}

func newLine(address string) *line { return &line{address: address} }

func (l *line) close() {
	if l.conn != nil {
		l.conn.Close()
		l.conn = nil
	}
}

// do sends the request and reads the answer. After an error the next request takes a new connection.
func (l *line) do(r request) (answer, error) {
	a, err := l.exchange(r)
	if err != nil {
		l.close()
		return answer{}, fmt.Errorf("%s %s at %s: %w", r.method, r.path, l.address, err)
	}
	if a.header.Get("Connection") == "close" {
		l.close()
	}
	return a, nil
}

func (l *line) exchange(r request) (answer, error) {
	q, err := r.http(l.address)
	if err != nil {
		return answer{}, err
	}
	if l.conn == nil {
		if l.conn, err = net.DialTimeout("tcp", l.address, dialTimeout); err != nil {
			return answer{}, err
		}
		l.reader = bufio.NewReader(l.conn)
	}
	if err := l.conn.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return answer{}, err
	}
	if err := q.Write(l.conn); err != nil {
		return answer{}, err
	}
	response, err := http.ReadResponse(l.reader, q)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	a := answer{status: response.StatusCode, header: response.Header}
	if response.Close {
		a.header.Set("Connection", "close")
	}
	if a.text, err = io.ReadAll(response.Body); err != nil {
		return answer{}, err
	}
	if strings.Contains(a.header.Get("Content-Type"), "json") {
		err = json.Unmarshal(a.text, &a.body)
	}
	return a, err
}

// http is the request in the form of net/http, which only writes it here.
func (r request) http(address string) (*http.Request, error) {
	var text io.Reader
	if r.body != nil {
		encoded, err := json.Marshal(r.body)
		if err != nil {
			return nil, err
		}
		text = bytes.NewReader(encoded)
	}
	q, err := http.NewRequest(r.method, "http://"+address+r.path, text)
	if err != nil {
		return nil, err
	}
	for name, value := range r.headers {
		q.Header.Set(name, value)
	}
	if r.body != nil && q.Header.Get("Content-Type") == "" {
		q.Header.Set("Content-Type", "application/json")
	}
	if r.key != "" {
		q.Header.Set("Authorization", "Bearer "+r.key)
	}
	if r.subject != "" {
		q.Header.Set("Hydrastore-Session", r.subject)
	}
	return q, nil
}

// expect does the request and makes any other status than want an error that says what the node said.
func (l *line) expect(want int, r request) (answer, error) {
	a, err := l.do(r)
	if err == nil && a.status != want {
		err = fmt.Errorf("%s %s at %s: status %d, want %d: %s", r.method, r.path, l.address, a.status, want, a.text)
	}
	return a, err
}

// attributes are a session's. A policy has a word under the same name, which is left.
type attributes map[string]any

func (a *attributes) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '"' {
		return nil
	}
	return json.Unmarshal(text, (*map[string]any)(a))
}
