package cluster

// Proposal is one entry on its way into the log.
type Proposal struct {
	done  chan struct{}
	index uint64
	err   error
}

// Done is closed when the outcome is known, or known to be unknown. With a hung
// disk that can take until Config.WriteTimeout ends the node, so wait for a
// context beside it.
func (p *Proposal) Done() <-chan struct{} { return p.done }

// Err returns the outcome, after Done: nil if the entry is committed and applied
// by this node; an error that is ErrNotLeader if it is certainly not in the log
// and never will be; one that is ErrOutcomeUnknown if it may be in the log or may
// yet be applied. Before Done it returns ErrOutcomeUnknown.
func (p *Proposal) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return ErrOutcomeUnknown
	}
}

// Index returns the entry's place in the log, after Done; 0 if it never got one.
func (p *Proposal) Index() uint64 {
	select {
	case <-p.done:
		return p.index
	default:
		return 0
	}
}

// failedProposal returns a proposal that is over before it began.
func failedProposal(err error) *Proposal {
	p := &Proposal{done: make(chan struct{}), err: err}
	close(p.done)
	return p
}
