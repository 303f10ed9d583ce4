package cli

import (
	"fmt"
	"time"
)

// durationFlag is a duration, none, or not given.
type durationFlag struct{ value *time.Duration }

// String implements pflag.Value.
func (f *durationFlag) String() string {
	if f.value == nil {
		return ""
	}
	return span(*f.value)
}

// Set implements pflag.Value.
func (f *durationFlag) Set(text string) error {
	var d time.Duration
	if text != "none" {
		var err error
		if d, err = time.ParseDuration(text); err != nil || d <= 0 {
			return fmt.Errorf("a duration such as 90s or 12h is needed, or none; this is %q", text)
		}
	}
	f.value = &d
	return nil
}

// Type implements pflag.Value.
func (f *durationFlag) Type() string { return "duration" }
