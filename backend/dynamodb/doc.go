// Package dynamodb keeps sessions in one table of Amazon DynamoDB.
//
// # Layout
//
// The table's only key is the partition key username, a string. A record is one item:
//
//	username  S  kind, '#', id: "u#ada"
//	kind      S  the kind alone, which scans filter by
//	version   S  new and random with every write; writes are conditional on it
//	data      B  the value
//	expires   N  seconds since 1970 after which DynamoDB deletes the item, if its time to live is on for this attribute; absent = never
//
// Reads are strongly consistent. A listing is a Scan of the whole table, whose order is DynamoDB's own.
//
// # Certainty
//
// A write whose answer is lost is sent again with the same version. If its condition fails then, the item tells whether the first try was
// done. See attempt.go.
package dynamodb
