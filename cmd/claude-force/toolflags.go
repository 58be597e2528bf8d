package main

import (
	"cmp"
	"errors"
	"path/filepath"

	"github.com/spf13/cobra"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/toolset"
)

// permissionFlags are the flags that say what tools may do.
type permissionFlags struct {
	allow, deny, ask, folders []string
	mode, sandbox             string
}

func (f *permissionFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&f.allow, "allow", nil, "allow what a `rule` names, such as 'Edit(src/**)'; may be repeated, or a list with commas")
	flags.StringArrayVar(&f.deny, "deny", nil, "deny what a `rule` names, whatever else allows it")
	flags.StringArrayVar(&f.ask, "ask", nil, "ask before what a `rule` names; without anyone to ask the answer is no")
	flags.StringVar(&f.mode, "permission-mode", "", "what is done without a rule: default, acceptEdits, plan, dontAsk or bypassPermissions")
	flags.StringArrayVar(&f.folders, "add-dir", nil, "a `folder` outside the project that tools may use as if it was in it; may be repeated")
	flags.StringVar(&f.sandbox, "sandbox", "", "on or off: off runs commands without isolation (default on)")
}

// toolbox returns the options of what agents act with under the flags.
func (f *permissionFlags) toolbox() (*toolset.Options, error) {
	return (&toolFlags{permissionFlags: *f}).toolbox()
}

// flagOf names the flags whose names are not those of the settings that they are.
var flagOf = map[string]string{"mode": "permission-mode", "add_dirs": "add-dir"}

// configure puts the flags into cfg that are settings too.
func (f *permissionFlags) configure(cfg *config.Config) error {
	if f.sandbox == "" {
		return nil
	}
	return cfg.Set("sandbox", f.sandbox, "--sandbox")
}

// toolFlags are the flags of commands whose agents act.
type toolFlags struct {
	permissionFlags
	maxTurns int
	none     bool
}

func (f *toolFlags) register(cmd *cobra.Command) {
	f.permissionFlags.register(cmd)
	cmd.Flags().IntVar(&f.maxTurns, "max-turns", 0, "most calls of the model for one task, instead of what agents and steps say (default 100)")
	cmd.Flags().BoolVar(&f.none, "no-tools", false, "agents get no tools and answer in text")
}

// toolbox returns the options of what agents act with; nil if they do not.
func (f *toolFlags) toolbox() (*toolset.Options, error) {
	if f.maxTurns < 0 {
		return nil, badInput("--max-turns must be above 0")
	}
	options, err := claudeforce.ToolsetFor(f.settings())
	if wrong, ok := errors.AsType[*claudeforce.SettingError](err); ok {
		return nil, badInput("--%s: %w", cmp.Or(flagOf[wrong.Setting], wrong.Setting), wrong.Err)
	}
	return options, err
}

// settings returns what resuming the run in another process needs; nil for nothing.
func (f *toolFlags) settings() *runs.ToolSettings {
	s := runs.ToolSettings{Allow: f.allow, Deny: f.deny, Ask: f.ask, Mode: f.mode, Sandbox: f.sandbox, MaxTurns: f.maxTurns, None: f.none}
	for _, folder := range f.folders {
		if abs, err := filepath.Abs(folder); err == nil {
			folder = abs // the other process may work in another folder
		}
		s.AddDirs = append(s.AddDirs, folder)
	}
	if s.Mode == "" && s.Sandbox == "" && !s.None && s.MaxTurns == 0 && len(s.Allow)+len(s.Deny)+len(s.Ask)+len(s.AddDirs) == 0 {
		return nil
	}
	return &s
}

// inherit adds to the flags those that the run was started with.
func (f *toolFlags) inherit(s *runs.ToolSettings) {
	if s == nil {
		return
	}
	f.allow, f.deny, f.ask = append(f.allow, s.Allow...), append(f.deny, s.Deny...), append(f.ask, s.Ask...)
	f.folders = append(f.folders, s.AddDirs...)
	f.none = f.none || s.None
	if f.mode == "" {
		f.mode = s.Mode
	}
	if f.sandbox == "" {
		f.sandbox = s.Sandbox
	}
	if f.maxTurns == 0 {
		f.maxTurns = s.MaxTurns
	}
}
