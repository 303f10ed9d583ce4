package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hydrastore/hydrastore/session"
	"github.com/hydrastore/hydrastore/session/portable"
)

// errAhead is told of records with an instant that this cluster has not come to.
var errAhead = errors.New("an instant of a record is in this cluster's future, or impossible: where the clock of the old home is ahead of this one, repeat the move when that time has passed")

// tellAhead says how far the records are ahead of the cluster, where that is why they are refused.
func tellAhead(err error, records []json.RawMessage, clockMS int64) error {
	var told *session.Error
	if !errors.As(err, &told) || !errors.Is(told.Err, errAhead) {
		return err
	}
	latest := int64(0)
	for _, text := range records {
		if r, err := portable.Parse(text); err == nil {
			latest = max(latest, latestOf(r))
		}
	}
	by := ""
	if ahead := latest - clockMS; ahead > 0 {
		by = fmt.Sprintf(" (the latest is %v ahead)", (time.Duration(ahead) * time.Millisecond).Round(time.Second))
	}
	return &session.Error{Code: told.Code, Field: told.Field, Message: errAhead.Error() + by}
}

// latestOf is the latest instant of a record that may not be ahead of the cluster.
func latestOf(r portable.Record) (latest int64) {
	switch {
	case r.Past != nil:
		for _, form := range r.Past.Forms {
			latest = max(latest, form.UntilMS)
		}
	case r.Session != nil:
		latest = max(r.Session.CreatedMS, r.Session.LastUseMS, r.Session.AuthMS)
		for _, k := range r.Session.Retired {
			latest = max(latest, k.GraceMS-session.MaxRotateGrace.Milliseconds())
		}
	}
	return latest
}
