// Package rest is the REST API as openapi.yaml describes it: the server interface, its parameters and its models.
//
// All of rest.gen.go is generated; bind.go holds the strict reading of parameters that it calls, and timestamp.go
// the one spelling of an instant.
package rest

//go:generate go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2 -config oapi-codegen.yaml ../../openapi.yaml
