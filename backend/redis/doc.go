// Package redis keeps sessions in Redis: in one server, in one that Sentinels guard, or in a Redis Cluster. Version 7.0 or newer, or a server
// that speaks as it does.
//
// # Layout
//
// A record is one string key: its version, then its value. The ids of each kind are dealt out to 64 buckets. A bucket has two sorted sets
// beside its records: the index, of all ids in the order of their bytes, and the due set, of ids by expiry. Record and sets change in one
// script, so they agree; the hash tag makes them neighbours in a cluster:
//
//	hydrastore:{s07}:<id>   version and value; expires by itself
//	hydrastore:{s07}        index
//	hydrastore:{s07}due     ids that expire
//	hydrastore:{s07}wait    nothing; written before replicas are waited for, in a cluster. In one server: hydrastore:wait
//
// Redis drops records by itself and cannot tell the sets, so every process looks now and then for what is due and takes it out of both
// (sweep.go). Nothing else grows.
//
// # Certainty
//
// Every write carries a new random version. A write whose answer is lost is sent again with the same one: if the record has it, the
// first try was done. See attempt.go.
//
// With Config.WaitReplicas every answer, to a read too, is followed by WAIT on the same connection (visit.go): what a caller has seen was
// replicated by then, so that nothing that it concludes comes undone in a failover.
package redis
