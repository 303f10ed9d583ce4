// Package atonce lets more tests of a package run side by side than there are processors.
package atonce

import (
	"flag"
	"fmt"
)

// Run lets n tests run at once, whatever -parallel says. For TestMain of packages whose tests wait for timers and elections most of the time.
func Run(n int) {
	flag.Parse()
	if err := flag.Set("test.parallel", fmt.Sprint(n)); err != nil {
		panic(err) // not in a test
	}
}
