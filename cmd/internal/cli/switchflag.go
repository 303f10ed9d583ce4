package cli

import (
	"fmt"
	"strconv"
)

// switchFlag is true, false or not given: pflag's own booleans do not tell the last two apart.
type switchFlag struct{ value *bool }

// set puts a value that was given into a field.
func (f *switchFlag) set(field **bool) {
	if f.value != nil {
		*field = f.value
	}
}

// String implements pflag.Value.
func (f *switchFlag) String() string {
	if f.value == nil {
		return ""
	}
	return strconv.FormatBool(*f.value)
}

// Set implements pflag.Value.
func (f *switchFlag) Set(text string) error {
	switch text {
	case "true", "false":
		on := text == "true"
		f.value = &on
		return nil
	}
	return fmt.Errorf("use true or false, this is %q", text)
}

// Type implements pflag.Value.
func (f *switchFlag) Type() string { return "true|false" }
