package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// atLeastOne are the flags whose value must be more than 0 if they are given. A
// value of 0 would be taken for a flag that was left out.
var atLeastOne = []string{"jobs", "timeout", "outage", "max-parallel"}

// checkFlags reports the first flag that was given without a value, as a script
// does whose variable is not set: it must never be taken for a flag that was left
// out.
func checkFlags(cmd *cobra.Command) error {
	var err error
	cmd.Flags().Visit(func(f *pflag.Flag) {
		switch {
		case err != nil:
		case emptyValue(f.Value):
			err = badInput("--%s is empty; give it a value, or leave it out", f.Name)
		case slices.Contains(atLeastOne, f.Name) && (strings.HasPrefix(f.Value.String(), "-") || strings.Trim(f.Value.String(), "0s") == ""):
			err = badInput("--%s must be more than 0; leave it out for the default", f.Name)
		}
	})
	return err
}

// emptyValue reports whether a flag's value, or one of a list, is empty.
func emptyValue(v pflag.Value) bool {
	if list, ok := v.(pflag.SliceValue); ok {
		values := list.GetSlice()
		return len(values) == 0 || slices.Contains(values, "")
	}
	return strings.TrimSpace(v.String()) == ""
}
