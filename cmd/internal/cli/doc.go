// Package cli is the command line of Hydrastore: what is said, asked, printed and answered to the shell.
//
// Program is the whole of it; main only adds signals and the exit code. Commands for a cluster are clients of its API
// like any other and know nothing of the nodes' insides; server and dev start nodes.
package cli
