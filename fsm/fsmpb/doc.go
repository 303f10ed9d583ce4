// Package fsmpb holds the commands of the replicated state machine: generated from fsm.proto.
package fsmpb

//go:generate protoc --go_out=. --go_opt=paths=source_relative --go-vtproto_out=. --go-vtproto_opt=paths=source_relative,features=marshal+unmarshal+size fsm.proto
