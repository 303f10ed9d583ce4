package api

import _ "embed"

// document is openapi.yaml, from which the server's interface and the client's types are generated.
//
//go:embed openapi.yaml
var document []byte

// Document returns a copy of the OpenAPI document that /openapi.yaml serves.
func Document() []byte { return append([]byte(nil), document...) }
