package claudeforce

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/claude-force/claude-force/internal/openfile"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/sim"
	"github.com/claude-force/claude-force/tool/permission"
	"github.com/claude-force/claude-force/toolset"
)

// SettingError says which setting of a run is wrong. Setting is its name in
// [runs.ToolSettings] as JSON.
type SettingError struct {
	Setting string
	Err     error
}

func (e *SettingError) Error() string { return e.Setting + ": " + e.Err.Error() }
func (e *SettingError) Unwrap() error { return e.Err }

// ApplySettings sets what another process started a run with, in opts and its Config,
// which must be set. The error is an [InputError].
func (opts *Options) ApplySettings(s runs.Settings) (err error) {
	const source = "the settings of the run"
	cfg := opts.Config
	if s.Jobs > 0 {
		err = errors.Join(err, cfg.Set("jobs", strconv.Itoa(s.Jobs), source))
	}
	if s.Timeout > 0 {
		err = errors.Join(err, cfg.Set("timeout", s.Timeout.String(), source))
	}
	if s.Tools != nil && s.Tools.Sandbox != "" {
		err = errors.Join(err, cfg.Set("sandbox", s.Tools.Sandbox, source))
	}
	cfg.Cache.Enabled = cfg.Cache.Enabled && !s.NoCache
	cfg.Memory = cfg.Memory && !s.NoMemory
	tools, toolsErr := ToolsetFor(s.Tools)
	simulator, simErr := SimulatorFor(s.Simulator, s.Script)
	opts.Toolset, opts.Simulator = tools, simulator
	return invalid(errors.Join(err, toolsErr, simErr))
}

// DefaultToolset returns the options of what agents act with where nothing but the
// configuration says.
func DefaultToolset() *toolset.Options {
	options := &toolset.Options{}
	// Without a home folder, ~ is no path.
	options.Policy.Home, _ = os.UserHomeDir()
	if cache, err := os.UserCacheDir(); err == nil {
		options.CacheDir = filepath.Join(cache, "claude-force")
	}
	return options
}

// ToolsetFor returns the options of what agents act with in a run with these settings,
// which may be nil. It returns nil if they have no tools. The error is a [*SettingError].
func ToolsetFor(s *runs.ToolSettings) (*toolset.Options, error) {
	options := DefaultToolset()
	if s == nil {
		return options, nil
	}
	p := &options.Policy
	if s.Mode != "" {
		mode, err := permission.ParseMode(s.Mode)
		if err != nil {
			return nil, &SettingError{"mode", err}
		}
		p.Mode = mode
	}
	for _, list := range []struct {
		setting string
		texts   []string
		to      *[]permission.Rule
	}{{"allow", s.Allow, &p.Allow}, {"deny", s.Deny, &p.Deny}, {"ask", s.Ask, &p.Ask}} {
		for _, text := range list.texts {
			rules, err := permission.ParseRules(text)
			if err == nil && len(rules) == 0 {
				err = errors.New("it is empty; name a rule, such as 'Edit(src/**)'")
			}
			if err != nil {
				return nil, &SettingError{list.setting, err}
			}
			*list.to = append(*list.to, rules...)
		}
	}
	for _, folder := range s.AddDirs {
		abs, err := filepath.Abs(folder)
		if err == nil {
			if info, statErr := os.Stat(abs); statErr != nil || !info.IsDir() {
				err = fmt.Errorf("%s is not a folder", abs)
			}
		}
		if err != nil {
			return nil, &SettingError{"add_dirs", err}
		}
		p.Extra = append(p.Extra, abs)
	}
	if s.None {
		return nil, nil
	}
	options.MaxTurns = s.MaxTurns
	return options, nil
}

// SimulatorFor returns the simulator with a latency as [sim.ParseLatency] takes it, and the
// script in a file if one is named. It returns nil for an empty latency.
func SimulatorFor(latency, script string) (*sim.Server, error) {
	if latency == "" {
		return nil, nil
	}
	var opts sim.Options
	var err error
	if opts.Latency, err = sim.ParseLatency(latency); err != nil {
		return nil, err
	}
	if script != "" {
		if opts.Script, err = ReadSimulatorScript(script); err != nil {
			return nil, err
		}
	}
	return sim.New(opts), nil
}

// maxScript bounds the script of a simulator, in bytes.
const maxScript = 16 << 20

// ReadSimulatorScript reads the script of a simulator from a regular file.
func ReadSimulatorScript(path string) (*sim.Script, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("reading the script: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("reading the script: %s is not a file", path)
	}
	data, err := openfile.ReadTyped(path, maxScript)
	if err != nil {
		return nil, fmt.Errorf("reading the script: %w", err)
	}
	return sim.ParseScript(path, data)
}
