// Package fsmpb holds the commands of the replicated state machine: generated from fsm.proto.
package fsmpb

//go:generate protoc --go_out=. --go_opt=paths=source_relative fsm.proto
