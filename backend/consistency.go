package backend

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/hydrastore/hydrastore/session"
)

// history names this store. A store has no log, and each read sees every write before it: so there is one point of
// its history, and all tokens name it.
func (s *Service) history() string {
	known := s.known.Load()
	if known == nil {
		return ""
	}
	sum := sha256.Sum256([]byte(known.record.ID))
	return hex.EncodeToString(sum[:4]) + "-" + s.features.Name
}

func (s *Service) meta() session.Meta {
	return session.Meta{Index: session.IndexToken(s.history() + ":0"), Age: -1}
}

// readMeta describes an answer to a read: a local one is as fresh as any.
func (s *Service) readMeta(c session.Call) session.Meta {
	m := s.meta()
	if c.Consistency == session.Local || c.MinIndex != "" {
		m.Age = 0
	}
	return m
}

func (s *Service) validConsistency(c session.Call) error {
	if c.Consistency != session.Local && c.Consistency != session.Linearizable {
		return session.Invalid("consistency", "must be \"local\" or absent")
	}
	if c.MinIndex == "" || s.config.Directory != nil { // whose index it is has judged it
		return nil
	}
	history, index, found := strings.Cut(string(c.MinIndex), ":")
	switch {
	case !found || index == "":
		return session.Invalid("min_index", "must be the value of a Hydrastore-Index header")
	case history != s.history():
		return &session.Error{Code: session.CodeHistoryMismatch, Field: "min_index", Message: "that index belongs to another store, or to a cluster"}
	}
	return nil
}
