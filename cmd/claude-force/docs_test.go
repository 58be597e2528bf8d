package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"

	"github.com/claude-force/claude-force/internal/docexample"
)

// TestDocsCommands checks the commands in the documentation: that each exists, with the
// flags and the number of arguments it is shown with.
func TestDocsCommands(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(pages) < 10 {
		t.Fatalf("found %v, %v", pages, err)
	}
	count := 0
	for _, page := range append(pages, "../../README.md") {
		data, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		blocks, err := docexample.Read(string(data))
		if err != nil {
			t.Fatalf("%s: %v", page, err)
		}
		for _, block := range blocks {
			if block.Kind != docexample.Indented || block.NotRun != "" {
				continue
			}
			found, err := checkCommands(t, block.Text)
			name := fmt.Sprintf("%s:%d", strings.TrimPrefix(page, "../../"), block.Line)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if found == 0 && filepath.Base(page) == "workflows.md" {
				t.Errorf("%s: it has no command of ours; write <!-- not run: REASON --> and an empty line above it", name)
			}
			count += found
		}
	}
	if count < 50 {
		t.Errorf("found only %d commands", count)
	}
}

// checkCommands checks the commands in a text for the shell that are ours, and returns
// how many there are.
func checkCommands(t *testing.T, text string) (int, error) {
	file, err := syntax.NewParser().Parse(strings.NewReader(text), "")
	if err != nil {
		if !strings.Contains(text, "claude-force ") {
			return 0, nil // not for a shell
		}
		return 0, err
	}
	count := 0
	syntax.Walk(file, func(node syntax.Node) bool {
		call, ok := node.(*syntax.CallExpr)
		if !ok || len(call.Args) == 0 || call.Args[0].Lit() != "claude-force" {
			return true
		}
		count++
		var args []string
		for _, word := range call.Args[1:] {
			arg, literalErr := expand.Literal(nil, word)
			if literalErr != nil { // it depends on another command
				arg = "VALUE"
			}
			args = append(args, arg)
		}
		if e := checkCommand(t, args); e != nil && err == nil {
			err = fmt.Errorf("claude-force %s: %w", strings.Join(args, " "), e)
		}
		return true
	})
	return count, err
}

// checkCommand reports whether a command exists and takes its arguments.
func checkCommand(t *testing.T, args []string) error {
	t.Setenv("HOME", t.TempDir())
	var out bytes.Buffer
	a := &app{stdout: &out, stderr: &out}
	root := a.command(args...)
	root.InitDefaultCompletionCmd(args...)
	cmd, rest, err := root.Find(args)
	if err != nil {
		return err
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	return cmd.ValidateArgs(cmd.Flags().Args())
}
