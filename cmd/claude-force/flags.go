package main

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// atLeastOne are the flags whose value must be more than 0 if they are given. A
// value of 0 would be taken for a flag that was left out.
var atLeastOne = []string{"jobs", "timeout", "outage", "max-parallel", "max-turns", "approval-timeout"}

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
		case f.Value.Type() == "float64" && !finite(f.Value.String()):
			err = badInput("--%s must be a number, not %s", f.Name, f.Value)
		}
	})
	return err
}

// emptyValue reports whether a flag's value, or one of a list, is empty.
func emptyValue(v pflag.Value) bool {
	if list, ok := v.(pflag.SliceValue); ok {
		values := list.GetSlice()
		return len(values) == 0 || slices.ContainsFunc(values, func(s string) bool { return strings.TrimSpace(s) == "" })
	}
	return strings.TrimSpace(v.String()) == ""
}

// finite reports whether a flag's value is a number other than NaN and the infinities.
func finite(s string) bool {
	f, err := strconv.ParseFloat(s, 64)
	return err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
}
