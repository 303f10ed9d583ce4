package api

import (
	"strconv"

	"github.com/hydrastore/hydrastore/session"
)

// parseIfMatch reads the one version that a change is meant for; nil = any.
func parseIfMatch(header *string) (*uint64, error) {
	if header == nil || *header == "*" {
		return nil, nil
	}
	text := *header
	if len(text) < 2 || text[0] != '"' || text[len(text)-1] != '"' {
		return nil, errIfMatch()
	}
	version, err := strconv.ParseUint(text[1:len(text)-1], 10, 64)
	if err != nil {
		return nil, errIfMatch()
	}
	return &version, nil
}

func errIfMatch() error {
	return session.Invalid("If-Match", `must be one ETag as an answer gave it, like "4711" with the quotes, or *`)
}

// parseIdempotencyKey checks what will be hashed; "" = none.
func parseIdempotencyKey(header *string) (string, error) {
	if header == nil {
		return "", nil
	}
	key := *header
	if key == "" || len(key) > session.MaxIdempotencyKeyBytes {
		return "", session.Invalid("Idempotency-Key", "must have 1 to %d characters", session.MaxIdempotencyKeyBytes)
	}
	for i := range len(key) {
		if key[i] < ' ' || key[i] > '~' {
			return "", session.Invalid("Idempotency-Key", "must be printable ASCII")
		}
	}
	return key, nil
}
