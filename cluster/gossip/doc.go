// Package gossip finds out which nodes are there: a thin, strict wrapper of hashicorp/memberlist.
//
// What it says is a hint. Membership and leadership are Raft's to decide; gossip tells who to ask, how far a node is and that
// one has gone quiet. The pool's label is the cluster id, under encryption authenticated with every packet, so that two clusters
// never merge whatever addresses they are given.
//
// memberlist calls its delegates with its own lock held. Here they copy what they are shown into a table of
// this package, wake whoever waits, and call nothing back.
package gossip
