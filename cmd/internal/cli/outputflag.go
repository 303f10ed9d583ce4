package cli

import (
	"io"

	"github.com/spf13/cobra"
)

// outputFlag is -o json|table.
type outputFlag struct{ format string }

func (o *outputFlag) define(c *cobra.Command) {
	o.format = "table"
	c.Flags().VarP(o, "output", "o", "`table` for people, `json` for programs")
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp)) // the flag exists
}

// String, Set and Type make it a pflag.Value, so that a wrong word is a mistake on the command line.
func (o *outputFlag) String() string { return o.format }

// Set takes one of the two words.
func (o *outputFlag) Set(format string) error {
	if format != "json" && format != "table" {
		return usagef("use json or table")
	}
	o.format = format
	return nil
}

// Type names the value in help texts.
func (o *outputFlag) Type() string { return "format" }

// print writes value as JSON, or the table that people gets.
func (o *outputFlag) print(w io.Writer, value any, people func() *table) error {
	if o.format == "json" {
		return writeJSON(w, value)
	}
	return people().write(w)
}
