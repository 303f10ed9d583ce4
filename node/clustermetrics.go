package node

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/hydrastore/hydrastore/cluster"
)

// clusterCollector shows the cluster's own counts: of disk, peer port and gossip. They are read once for each scrape, because
// reading the disk's begins a new maximum.
type clusterCollector struct {
	cluster *cluster.Cluster

	writes, writeSeconds, writeMax, entries, bytes *prometheus.Desc
	snapshotIndex, snapshotBytes                   *prometheus.Desc
	peerBytes, peerCalls, peerFailures, peerConns  *prometheus.Desc
	gossip, gossipHealth                           *prometheus.Desc
}

func newClusterCollector(c *cluster.Cluster) *clusterCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("hydrastore_"+name, help, labels, nil)
	}
	return &clusterCollector{
		cluster:       c,
		writes:        desc("log_writes_total", "Durable writes of the log."),
		writeSeconds:  desc("log_write_seconds_total", "Time of durable writes of the log, the flush included."),
		writeMax:      desc("log_write_seconds_max", "Longest durable write of the log since the last scrape."),
		entries:       desc("log_entries_total", "Entries written to the log."),
		bytes:         desc("log_bytes_total", "Bytes of the entries written to the log."),
		snapshotIndex: desc("snapshot_index", "Index of the newest snapshot; 0 when there is none."),
		snapshotBytes: desc("snapshot_bytes", "Size of the newest snapshot."),
		peerBytes:     desc("peer_bytes_total", "Bytes on the peer port, Raft's included.", "direction"),
		peerCalls:     desc("peer_calls_total", "Calls between nodes: sent by this node, served by it.", "side"),
		peerFailures:  desc("peer_call_failures_total", "Calls of this node that failed: unreachable (certainly not executed) or unknown.", "kind"),
		peerConns:     desc("peer_connections", "Open connections to and from other nodes."),
		gossip:        desc("gossip_members", "Members as this node's gossip sees them.", "state"),
		gossipHealth:  desc("gossip_health", "This node's own slowness in gossip: 0 none, 8 severe."),
	}
}

// Describe implements prometheus.Collector.
func (c *clusterCollector) Describe(out chan<- *prometheus.Desc) {
	prometheus.DescribeByCollect(c, out)
}

// Collect implements prometheus.Collector.
func (c *clusterCollector) Collect(out chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	disk := c.cluster.Storage()
	counter(c.writes, float64(disk.Append.Count))
	counter(c.writeSeconds, disk.Append.Sum.Seconds())
	gauge(c.writeMax, disk.Append.Max.Seconds())
	counter(c.entries, float64(disk.AppendedEntries))
	counter(c.bytes, float64(disk.AppendedBytes))
	gauge(c.snapshotIndex, float64(disk.LastSnapshot.Index))
	gauge(c.snapshotBytes, float64(disk.LastSnapshot.Bytes))

	peer := c.cluster.Link()
	counter(c.peerBytes, float64(peer.BytesRead), "in")
	counter(c.peerBytes, float64(peer.BytesWritten), "out")
	counter(c.peerCalls, float64(peer.CallsSent), "sent")
	counter(c.peerCalls, float64(peer.CallsServed), "served")
	counter(c.peerFailures, float64(peer.CallsUnreachable), "unreachable")
	counter(c.peerFailures, float64(peer.CallsUnknown), "unknown")
	gauge(c.peerConns, float64(peer.Connections))

	gossip := c.cluster.Gossip()
	gauge(c.gossip, float64(gossip.Alive), "alive")
	gauge(c.gossip, float64(gossip.Suspect), "suspect")
	gauge(c.gossip, float64(gossip.Left), "left")
	gauge(c.gossip, float64(gossip.Dead), "dead")
	gauge(c.gossipHealth, float64(gossip.Health))
}
