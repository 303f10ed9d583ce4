// Package e2e tests Hydrastore from outside: real hydrastore processes with their own disks, real connections, a real load
// balancer in front, and faults that are real too (kill -9, a wiped disk, a wrong join list). It holds tests alone.
//
// go test ./e2e builds the binary once and runs everything that this machine can run. The environment says more:
//
//	HYDRASTORE_E2E=require      what scripts/ci-deps installs (HAProxy) must be there: missing it fails, in place of skipping
//	HYDRASTORE_DOCKER=require   the same for a Docker engine
//	HYDRASTORE_E2E_BINARY=PATH  tests this binary in place of building one
//	HYDRASTORE_E2E_RACE=1       builds the binary with the race detector; limits of time are then printed, not judged
//	HYDRASTORE_E2E_KILLS=N      how often TestKillLeaderUnderLoad kills the leader (default 20)
//
// Every process is ended by its own handle when its test ends, and by the kernel (on Linux) when the tests themselves are killed.
// Waits have a bound and wait for a fact. The tests' HTTP client repeats nothing, unlike net/http's, which
// sends some requests again without telling: what fails here has failed once.
package e2e
