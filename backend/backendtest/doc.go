// Package backendtest holds the two suites that every home for sessions must pass: StoreCases for the contract of backend.Store,
// and ServiceCases for what session.Service promises whatever stands behind it. MoveThrough moves sessions into a
// store and out of it.
//
// A test runs each case as a subtest with a harness of its own:
//
//	for _, c := range backendtest.StoreCases() {
//		t.Run(c.Name, func(t *testing.T) {
//			t.Parallel()
//			c.Run(t, backendtest.StoreHarness{Open: …})
//		})
//	}
package backendtest
