// Package strictjson reads JSON bodies member by member and forgives nothing: repeated names, invalid UTF-8, half
// surrogates, wrong types and trailing bytes are errors that tell the field and the place.
//
// encoding/json takes the last of two equal names, replaces invalid UTF-8, and matches names in any case. Between a
// load balancer that reads one way and a server that reads another, each of these is an attack.
package strictjson
