package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestCompletionsNameWhatThereIs finds completions of flags and commands that do
// not exist.
func TestCompletionsNameWhatThereIs(t *testing.T) {
	t.Parallel()
	a := &app{}
	flags, commands := map[string]bool{}, map[string]bool{}
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		path := strings.TrimPrefix(cmd.CommandPath(), "claude-force ")
		commands[path] = true
		for name := range a.flagCompletions() {
			command, flag, ok := strings.Cut(name, " --")
			if !ok {
				command, flag = path, name
			}
			if command == path && cmd.LocalFlags().Lookup(flag) != nil {
				flags[name] = true
			}
		}
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
	}
	visit(a.command())
	for name := range a.flagCompletions() {
		if !flags[name] {
			t.Errorf("no command has %s", name)
		}
	}
	for path := range a.argumentCompletions() {
		if !commands[path] {
			t.Errorf("there is no command %s", path)
		}
	}
}
