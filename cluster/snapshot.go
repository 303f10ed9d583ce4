package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/raft"
	"github.com/hydrastore/hydrastore/cluster/clusterpb"
	"google.golang.org/protobuf/proto"
)

// A snapshot is: magic, length of the header (4 bytes, big-endian), header
// (protobuf), then whatever the StateMachine wrote. Its checksum is the snapshot
// store's.
const (
	snapshotMagic   = "HYDRASNP"
	snapshotVersion = 1
	// maxHeaderBytes bounds the header: the member table and the removed ids.
	maxHeaderBytes = 4 << 20
)

// snapshot is one fixed state, on its way to disk.
type snapshot struct {
	header *clusterpb.SnapshotHeader
	app    Snapshot
}

// header describes the present state. The same log gives the same bytes.
func (m *machine) header() *clusterpb.SnapshotHeader {
	return &clusterpb.SnapshotHeader{
		Version:      snapshotVersion,
		ClusterId:    m.clusterID(),
		AppliedIndex: m.index,
		AppliedTerm:  m.term,
		Leadership:   &clusterpb.Leadership{NodeId: m.leader.NodeID, Epoch: m.leader.Epoch},
		Members:      m.table.all(),
		RemovedIds:   m.table.removedIDs(),
	}
}

// checkHeader refuses what this program cannot read and what is another
// cluster's.
func (m *machine) checkHeader(h *clusterpb.SnapshotHeader) error {
	if h.GetVersion() != snapshotVersion {
		return fmt.Errorf("snapshot has version %d, this program reads version %d", h.GetVersion(), snapshotVersion)
	}
	if id := m.clusterID(); h.GetClusterId() != id {
		return fmt.Errorf("snapshot is of cluster %s, this node belongs to cluster %s", h.GetClusterId(), id)
	}
	return nil
}

// Persist writes the snapshot. It runs beside later applies.
func (s *snapshot) Persist(sink raft.SnapshotSink) error {
	if err := s.write(sink); err != nil {
		return errors.Join(fmt.Errorf("write snapshot: %w", err), sink.Cancel())
	}
	return sink.Close()
}

func (s *snapshot) write(w io.Writer) error {
	if err := writeHeader(w, s.header); err != nil {
		return err
	}
	_, err := s.app.WriteTo(w)
	return err
}

// Release lets go of the application's snapshot.
func (s *snapshot) Release() { s.app.Release() }

func writeHeader(w io.Writer, h *clusterpb.SnapshotHeader) error {
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(h)
	if err != nil {
		return err
	}
	if len(body) > maxHeaderBytes {
		return fmt.Errorf("header has %d bytes, at most %d", len(body), maxHeaderBytes)
	}
	front := binary.BigEndian.AppendUint32([]byte(snapshotMagic), uint32(len(body)))
	_, err = w.Write(append(front, body...))
	return err
}

func readHeader(r io.Reader) (*clusterpb.SnapshotHeader, error) {
	front := make([]byte, len(snapshotMagic)+4)
	if _, err := io.ReadFull(r, front); err != nil {
		return nil, fmt.Errorf("read snapshot header: %w", err)
	}
	if string(front[:len(snapshotMagic)]) != snapshotMagic {
		return nil, errors.New("read snapshot header: this is no snapshot")
	}
	n := binary.BigEndian.Uint32(front[len(snapshotMagic):])
	if n > maxHeaderBytes {
		return nil, fmt.Errorf("read snapshot header: %d bytes, at most %d", n, maxHeaderBytes)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, fmt.Errorf("read snapshot header: %w", err)
	}
	h := new(clusterpb.SnapshotHeader)
	if err := proto.Unmarshal(body, h); err != nil {
		return nil, fmt.Errorf("decode snapshot header: %w", err)
	}
	return h, nil
}
