package dynamodb

import (
	"net/http"
	"sync/atomic"
	"time"
)

// MaxSkew is how far this machine's clock may be off DynamoDB's. Beyond it the node serves nothing: it would end sessions early, or late.
const MaxSkew = 2 * time.Second

// clock compares this machine's clock with what answers say. They say whole seconds.
type clock struct{ off atomic.Int64 }

// note takes the date of an answer to a request that was sent and answered then, by this machine's clock.
func (c *clock) note(sent, answered time.Time, date string) {
	at, err := http.ParseTime(date)
	if err != nil {
		return
	}
	// It was a moment of [at, at+1s) there while it was one of [sent, answered] here.
	least, most := at.Sub(answered.Round(0)), at.Add(time.Second).Sub(sent.Round(0))
	switch {
	case least > MaxSkew:
		c.off.Store(int64(least))
	case most < -MaxSkew:
		c.off.Store(int64(most))
	default:
		c.off.Store(0)
	}
}

// skew is how far DynamoDB's clock is ahead of this machine's at least; 0 = not too far for all that is known.
func (c *clock) skew() time.Duration { return time.Duration(c.off.Load()) }
