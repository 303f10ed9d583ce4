package dynamodb_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// fate of one request on its way.
type fate func(w http.ResponseWriter, r *http.Request, forward func() *http.Response)

// way stands between a Store and its server. The first fates meet the first requests of their operation; then all pass.
type way struct {
	*httptest.Server
	server string

	mu    sync.Mutex
	fates map[string][]fate // by operation: "PutItem"
	seen  map[string]int
	date  string // of all answers; "" = the server's
}

func startWay(t *testing.T, server string) *way {
	t.Helper()
	w := &way{server: server, fates: map[string][]fate{}, seen: map[string]int{}}
	w.Server = httptest.NewServer(w)
	t.Cleanup(w.Close)
	return w
}

func (y *way) meet(operation string, fates ...fate) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.fates[operation], y.seen[operation] = fates, 0
}

func (y *way) count(operation string) int {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.seen[operation]
}

func (y *way) setDate(date string) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.date = date
}

// ServeHTTP forwards, or does what fate has in store.
func (y *way) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	y.mu.Lock()
	y.seen[operation]++
	var met fate
	if list := y.fates[operation]; len(list) > 0 {
		met, y.fates[operation] = list[0], list[1:]
	}
	date := y.date
	y.mu.Unlock()
	if date != "" {
		w.Header().Set("Date", date)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	forward := func() *http.Response {
		on, err := http.NewRequestWithContext(r.Context(), r.Method, y.server, bytes.NewReader(body))
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		on.Header = r.Header.Clone()
		answer, err := http.DefaultTransport.RoundTrip(on)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		return answer
	}
	if met == nil {
		met = pass
	}
	met(w, r, forward)
}

func pass(w http.ResponseWriter, _ *http.Request, forward func() *http.Response) {
	answer := forward()
	defer answer.Body.Close()
	for name, values := range answer.Header {
		if w.Header().Get(name) == "" {
			w.Header()[name] = values
		}
	}
	w.WriteHeader(answer.StatusCode)
	_, _ = io.Copy(w, answer.Body)
}

// loseAnswer does what was asked and closes the connection.
func loseAnswer(_ http.ResponseWriter, _ *http.Request, forward func() *http.Response) {
	forward().Body.Close()
	panic(http.ErrAbortHandler)
}

// loseAnswerAnd does something more before the connection ends.
func loseAnswerAnd(then func()) fate {
	return func(_ http.ResponseWriter, _ *http.Request, forward func() *http.Response) {
		forward().Body.Close()
		then()
		panic(http.ErrAbortHandler)
	}
}

// refuse answers an error and does nothing.
func refuse(status int, code string) fate {
	return func(w http.ResponseWriter, _ *http.Request, _ func() *http.Response) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"__type":"com.amazonaws.dynamodb.v20120810#`+code+`","message":"as the test wants"}`)
	}
}

// silent never answers.
func silent(_ http.ResponseWriter, r *http.Request, _ func() *http.Response) { <-r.Context().Done() }

func times(n int, f fate) []fate {
	list := make([]fate, n)
	for i := range list {
		list[i] = f
	}
	return list
}
