// Package config reads a node's settings: one YAML file, HYDRASTORE_… in the environment and flags, the later over
// the earlier.
//
// Every setting is one row of a table (settings.go) from which the environment names, the flags, the defaults and
// the reference page come. What is unknown, mistyped or without effect is refused with the place where it
// stands, never ignored: a misspelt timeout must not become a default.
package config
