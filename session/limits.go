package session

import "time"

// The limits of the domain. Each is documented in docs/configuration.md and tested at its edge.
const (
	MaxUserNameBytes        = 128 // after trimming and folding
	MaxPasswordBytes        = 1024
	MinPasswordRunes        = 8 // NIST SP 800-63B-4 3.1.1.2 and OWASP ASVS 5.0 6.2.1 ask for at least 8
	MaxPolicyNameBytes      = 64
	MaxPolicies             = 256
	MaxPoliciesPerUser      = 16
	MaxUserAgentBytes       = 512
	MaxAttributes           = 64
	MaxAttributeNameBytes   = 128
	MaxAttributeBytes       = 4 << 10  // one value, canonical JSON
	MaxAttributesBytes      = 16 << 10 // names and values of a session together
	MaxAttributeDepth       = 32
	SealOverheadBytes       = 33 // that a sealed value takes beyond its text: mark, key id, nonce, tag
	MaxSealedAttributeBytes = MaxAttributeBytes - SealOverheadBytes
	MinSafePasswordBytes    = 12
	MaxSealKeys             = 16 // known at once, and passwords of a node
	MaxSealHolders          = 64 // nodes whose seal keys are known
	MaxIdempotencyKeyBytes  = 255
	MaxIdempotencyRecords   = 1_000_000
	IdempotencyLifetime     = 10 * time.Minute // of replicated time
	MaxAttemptCounters      = 100_000          // of the login throttle, in the cluster
	MaxAttempts             = 1_000_000        // that a counter lets through at once
	MaxAttemptWindow        = 24 * time.Hour
	ChallengeLifetime       = time.Minute // of a log-in's challenge, in replicated time
	MaxUsedChallenges       = 100_000     // that are remembered at once, in the cluster
	MaxSessionNumbers       = 10_000      // that one request ends
	DefaultPageSize         = 100
	MaxPageSize             = 1000
	MaxSessions             = 1 << 26                   // in a cluster, and so of a limit on all sessions
	MaxSessionsPerOwner     = 10_000                    // the highest limit on one user's or one address's sessions
	MaxTimeout              = 10 * 365 * 24 * time.Hour // upper bound of any policy timer
	MinIdleTimeout          = time.Second
	MaxRetiredKeys          = 16        // a session's earlier keys that are still known as such
	MaxRotateGrace          = time.Hour // upper bound of a policy's rotate_grace_s
)
