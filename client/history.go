package client

import (
	"context"
	"net/http"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

// history is what the attempts of one call have met.
type history struct {
	last      *failure                 // of the latest attempt
	told      *failure                 // the latest that a node itself said
	maybeDone bool                     // an attempt may have done the change
	took      map[uint32]time.Duration // how long each node took to say no, by its index
}

func (h *history) add(node uint32, failed *failure, took time.Duration) {
	if h.took == nil {
		h.took = make(map[uint32]time.Duration)
	}
	h.took[node] = took
	h.maybeDone = h.maybeDone || failed.unknown
	h.last = failed
	if failed.answered {
		h.told = failed
	}
}

// mayAnswer tells whether the context leaves a node the time that it took before. Asked in vain, it would be cut off: then
// its answer, such as that there is no quorum, is lost, and what became of a change unknown.
func (h *history) mayAnswer(ctx context.Context, node uint32) bool {
	deadline, ok := ctx.Deadline()
	return !ok || h.took[node] == 0 || time.Until(deadline) > h.took[node]
}

// end is the error of the whole call, whose last attempt failed so.
func (h *history) end(ctx context.Context, r *request, failed *failure) error {
	e := *failed.Error
	silence := !failed.answered && h.told != nil // it says less than what another node, or this one earlier, gave as the reason
	switch {
	case silence && failed.notDone && !h.maybeDone:
		e = *h.told.Error
	case silence && failed.unknown:
		e.Message += "; the attempt before met: " + h.told.Message
	case h.maybeDone && failed.settlesNothing(r):
		e.Code, e.Message, e.Field = session.CodeOutcomeUnknown, "an attempt may have been done, and then: "+e.Message, ""
	}
	if err := context.Cause(ctx); err != nil {
		e.Err = &ended{cause: err, last: e.Err}
	}
	return &e
}

// settlesNothing tells whether an attempt may have been done although a later one failed so. That holds for every refusal of
// a repeated removal or replacement: who revokes all sessions, for example, is refused from then on. A log-in or a touch that is
// refused has left nothing behind that anybody could use.
func (f *failure) settlesNothing(r *request) bool {
	return f.notDone || r.method == http.MethodDelete || r.method == http.MethodPut
}

// ended lets errors.Is find the end of the context beside what the last attempt met.
type ended struct{ cause, last error }

func (e *ended) Error() string   { return e.cause.Error() + " (" + e.last.Error() + ")" }
func (e *ended) Unwrap() []error { return []error{e.cause, e.last} }
