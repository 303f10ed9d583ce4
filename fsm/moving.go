package fsm

import "github.com/hydrastore/hydrastore/fsm/fsmpb"

// Phase says whether a cluster's sessions are being moved.
type Phase uint8

const (
	PhaseOpen    Phase = iota // they are not: the cluster serves
	PhaseFilling              // another home's sessions are being moved into it
	PhaseClosed               // its sessions may be moved out of it
)

// String names the phase.
func (p Phase) String() string {
	switch p {
	case PhaseFilling:
		return "filling"
	case PhaseClosed:
		return "closed"
	}
	return "open"
}

// MaxOriginBytes bounds the name of the home that a cluster was filled from.
const MaxOriginBytes = 64

// maxMoved bounds versions and numbers that come from another home. It is far above what any has counted to, and leaves what follows room below
// the bound of a snapshot's.
const maxMoved = 1 << 60

// Moving tells about the move of a cluster's sessions.
type Moving struct {
	Phase      Phase
	Filling    uint64 // which one it is, of all that were begun; 0 while the cluster is not being filled
	Closing    uint64 // which one was the last, of all
	Origin     string // of the home that fills the cluster, or has filled it; "" = none
	AtMS       int64  // since when nothing but the move changes the cluster; 0 while it is open
	SealOffset uint32 // what was added to the ids of the origin's seal keys
	SealLast   uint32 // the highest of them here; nodes have added those above it since
	Accounts   int
	Sessions   int // recorded: ExportSessions of a closed cluster leaves those out that do not live
}

// moving is what the state knows of moves.
type moving struct {
	phase      Phase
	closing    uint64 // how often a move out of it has closed the cluster, or found it closed
	origin     string
	atMS       int64
	sealOffset uint32
	sealLast   uint32 // the highest id of the origin's seal keys here; those that nodes have added since are higher
}

// Moving tells whether the cluster's sessions are being moved, in one look.
func (m *Machine) Moving() Moving {
	return reading(m, func(s *state) Moving {
		now := Moving{
			Phase: s.moving.phase, Closing: s.moving.closing, Origin: s.moving.origin, AtMS: s.moving.atMS, SealOffset: s.moving.sealOffset, SealLast: s.moving.sealLast,
			Accounts: s.users.accounts.Len(), Sessions: s.sessions.n,
		}
		if now.Phase == PhaseFilling {
			now.Filling = s.history
		}
		return now
	})
}

// Phase is Moving().Phase, at no cost.
func (m *Machine) Phase() Phase { return Phase(m.phase.Load()) }

// open tells whether the cluster serves. Otherwise nothing but a move changes it, time neither.
func (s *state) open() bool { return s.moving.phase == PhaseOpen }

// closedTo tells whether a command has to wait until the cluster is open.
func (s *state) closedTo(c *fsmpb.Command) bool {
	if s.open() {
		return false
	}
	switch c.Kind.(type) {
	case *fsmpb.Command_BeginImport, *fsmpb.Command_ImportPast, *fsmpb.Command_ImportUsers, *fsmpb.Command_ImportSessions, *fsmpb.Command_FinishImport,
		*fsmpb.Command_CloseCluster, *fsmpb.Command_OpenCluster, *fsmpb.Command_SetFormatLevel, *fsmpb.Command_NoOp,
		*fsmpb.Command_PutSealKey, *fsmpb.Command_HoldSealKeys, nil:
		return false
	}
	return true
}

// isFilledBy tells whether a filling from an origin is under way, and otherwise fails the command. One that has begun anew since is another: what the former
// brings may be what its origin has no more.
func (s *state) isFilledBy(filling uint64, origin string, r *fsmpb.Result) bool {
	switch {
	case s.moving.phase != PhaseFilling:
		fail(r, fsmpb.Code_CODE_CONFLICT, s.moving.phase.String())
	case s.moving.origin != origin:
		fail(r, fsmpb.Code_CODE_CONFLICT, "origin")
	case s.history != filling:
		fail(r, fsmpb.Code_CODE_CONFLICT, "history")
	default:
		return true
	}
	return false
}

// closeCluster makes each closing another one: a move that fails opens what it has closed, and must not where another move has relied on that since.
func (s *state) closeCluster(r *fsmpb.Result) {
	switch {
	case s.moving.phase == PhaseFilling:
		fail(r, fsmpb.Code_CODE_CONFLICT, PhaseFilling.String())
		return
	case s.home.Node:
		fail(r, fsmpb.Code_CODE_CONFLICT, homeField)
		return
	case s.open():
		s.moving.phase, s.moving.atMS = PhaseClosed, s.clock
		s.reportMove(EventClusterClosed)
	}
	s.moving.closing++
	r.Payload = &fsmpb.Result_Closing{Closing: s.moving.closing}
}

func (s *state) openCluster(c *fsmpb.OpenCluster, r *fsmpb.Result) {
	switch {
	case s.moving.phase == PhaseFilling:
		fail(r, fsmpb.Code_CODE_CONFLICT, PhaseFilling.String())
	case s.open():
	case c.Closing != 0 && c.Closing != s.moving.closing:
		fail(r, fsmpb.Code_CODE_CONFLICT, "closing")
	default:
		s.serve()
		s.reportMove(EventClusterOpened)
	}
}

// serve opens the cluster. What has become due meanwhile ends as any backlog does.
func (s *state) serve() {
	s.moving.phase, s.moving.atMS = PhaseOpen, 0
	s.room.backlog = true
}

// finishImport ends the filling. Users who came without a session go one by one, as ended sessions do.
func (s *state) finishImport(c *fsmpb.FinishImport, r *fsmpb.Result) {
	if s.open() && c.Origin != "" && s.moving.origin == c.Origin {
		fail(r, fsmpb.Code_CODE_EXISTS, "origin")
		return
	}
	switch {
	case !s.isFilledBy(c.Filling, c.Origin, r):
	case c.Users != uint64(s.users.accounts.Len()):
		fail(r, fsmpb.Code_CODE_CONFLICT, "users")
	case c.Sessions != uint64(s.sessions.n):
		fail(r, fsmpb.Code_CODE_CONFLICT, "sessions")
	default:
		s.history++
		s.serve()
		s.reportMove(EventImportFinished)
	}
}

// reportMove tells of a step of a move, and what the cluster holds then.
func (s *state) reportMove(kind EventKind) {
	if s.events == nil {
		return
	}
	s.events.system()
	s.events.add(Event{Kind: kind, Origin: s.moving.origin, Users: uint64(s.users.accounts.Len()), Count: uint64(s.sessions.n)})
}
