package api

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/hydrastore/hydrastore/session"
)

const (
	headerRequestID   = "X-Request-Id"
	maxRequestIDBytes = 128
)

// requestIDs makes ids that are unique over nodes and restarts: eight random bytes of this server, and a count.
type requestIDs struct {
	prefix string
	count  atomic.Uint64
}

func newRequestIDs() (*requestIDs, error) {
	var random [8]byte
	if _, err := rand.Read(random[:]); err != nil {
		return nil, fmt.Errorf("draw prefix of request ids: %w", err)
	}
	return &requestIDs{prefix: hex.EncodeToString(random[:]) + "-"}, nil
}

// of takes over the id that came with the request when it can do no harm in a log, else makes one.
func (ids *requestIDs) of(r *http.Request) string {
	if given := r.Header[headerRequestID]; len(given) == 1 && isSaneRequestID(given[0]) {
		return given[0]
	}
	return ids.prefix + strconv.FormatUint(ids.count.Add(1), 36)
}

// isSaneRequestID also keeps out whatever looks like a session key: ids go to the log.
func isSaneRequestID(id string) bool {
	return id != "" && len(id) <= maxRequestIDBytes && strings.Trim(id, cookieNameAlphabet+".") == "" && !strings.Contains(id, session.KeyPrefix) && !isKey(id)
}
