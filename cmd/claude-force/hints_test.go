package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/benchfile"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm/cache"
	"github.com/claude-force/claude-force/llm/cache/cachedb"
	"github.com/claude-force/claude-force/modelselect"
	"github.com/claude-force/claude-force/workflow"
)

func TestHint(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string // in the hint
	}{
		{&journal.OwnedError{Run: "run_1"}, "claude-force runs watch run_1"},
		{fault.Input(fmt.Errorf("run_1: %w", journal.ErrNotFound)), "claude-force runs list"},
		{&claudeforce.ChangedError{}, "--accept-changes"},
		{claudeforce.ErrRunCompleted, "claude-force runs output"},
		{claudeforce.ErrNoCredentials, "claude-force demo"},
		{fault.Input(errors.Join(&workflow.MissingParamError{Name: "topic"})), "--param topic=VALUE"},
		{&cache.KeyError{}, "claude-force cache list"},
		{fmt.Errorf("writing cache: %w", &cachedb.FileError{}), "--no-cache"},
		{&cachedb.FileError{Full: true}, "claude-force cache clear"},
		{&modelselect.PriceError{Model: "gpt"}, "claude-force models list"},
		{benchfile.ErrNoVersion, "claude-force bench --output"},
	} {
		if got := hint(c.err); !strings.Contains(got, c.want) {
			t.Errorf("hint(%T) = %q, want it to name %q", c.err, got, c.want)
		}
	}
	if got := hint(errors.New("disk on fire")); got != "" {
		t.Errorf("hint of an unknown error = %q, want none", got)
	}
}
