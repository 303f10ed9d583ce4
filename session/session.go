package session

import (
	"encoding/json"
	"net/netip"
	"time"
)

// Session is the public view of a session at one moment of the replicated clock. It never holds the key.
type Session struct {
	ID                ID
	Number            uint64 // 1, 2, 3 … per user
	User              string
	Policy            string
	CreatedAt         time.Time
	LastUsedAt        time.Time     // last recorded use: exact to the touch window
	ExpiresAt         time.Time     // earliest promised end; the zero time = never by itself
	IdleTimeout       time.Duration // its own, or its policy's; 0 = none
	Permanent         bool          // no timer ends it
	Prompt            bool          // the user should be asked to stay: in less than PromptPeriod it ends through inactivity
	ClientAddress     netip.Addr    // invalid = unknown
	UserAgent         string
	AttributesVersion uint64    // log index of the last change of the attributes
	AuthTime          time.Time // when its user last proved who it is
	Methods           []Method  // how, sorted
	// Reserved is what a protocol keeps of the session: attributes whose names begin with ReservedAttributePrefix, here without it. Only
	// protocols set and show them. They count toward the limits of attributes.
	Reserved Attributes
}

// Attributes are a session's named values: canonical JSON, within the limits of this package.
type Attributes map[string]json.RawMessage

// AttributePatch is a merge patch of top-level keys: JSON null deletes, any other value replaces whole.
type AttributePatch map[string]json.RawMessage
