// Package config loads the settings of claude-force and records the origin of
// each.
//
// A setting comes from these sources, where later ones override earlier ones: its
// default, the project's claude-force.yaml (in the working directory or the nearest
// folder above it), the user's (in the user's configuration folder), an environment
// variable, and a command-line flag:
//
//	cfg, err := config.Load(config.Sources{Dir: ".", UserDir: dir, Getenv: os.Getenv})
//	err = cfg.Set("jobs", "20", "the command line")
//
// A project's file comes with the project, so it cannot set where the user's key
// and prompts go, what runs on the user's machine, where files are written, or how
// long history is kept. Credentials are not settings: the provider reads them from
// the environment, never from a file.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/internal/nearest"
	"github.com/claude-force/claude-force/internal/openfile"
)

// FileName is the name of the project's and of the user's configuration file.
const FileName = "claude-force.yaml"

// PricesName is the name of the user's price table, in the folder of their
// configuration file.
const PricesName = "prices.yaml"

// Config is all settings. Values come from [Load].
type Config struct {
	Model     string        // for agents without a model: an alias or an id
	MaxTokens int           // most output tokens of a call
	Jobs      int           // most calls in flight at once
	Timeout   time.Duration // longest time for one task, its retries included; 0 means none
	Outage    time.Duration // how long calls are repeated while every one of a model fails
	DataDir   string        // folder of the store, absolute
	Store     string        // URL of a PostgreSQL database for the store, which may hold a password; empty for files in DataDir
	Memory    bool          // agents with tools get CLAUDE.md and rules
	// ContextEditing has the service clear old results of tools in long conversations.
	ContextEditing bool
	Prices         string // file of prices that override the built-in ones, absolute; empty for none

	Backend   string // anthropic, bedrock or vertex
	BaseURL   string // root of the API; empty means the backend's own
	Region    string // for bedrock and vertex
	ProjectID string // for vertex

	// Valkey is the address of a server that machines share, with its password; empty for
	// none. Value shows it without.
	Valkey string

	Tier           string   // usage tier for the initial rate limits: start, build, scale or none
	FallbackModels []string // models to try if one is down or refuses, best first
	Hedge          float64  // quantile of the times to a first event after which a slow call is hedged; 0 for never

	Budget     Budget
	Cache      Cache
	AutoSelect AutoSelect
	Analytics  Analytics
	Telemetry  Telemetry

	// Permissions are what the user grants to agents, and Project what the project's
	// file takes away again: its Allow and AddDirs are empty, and its Mode is empty,
	// plan or dontAsk.
	Permissions, Project Permissions
	SandboxOff           bool // commands of agents run without isolation

	// Notes say what was ignored, for the user.
	Notes []string

	// TimeZone is that of days in figures and budgets. It is never nil.
	TimeZone *time.Location

	origins map[string]string
}

// Budget holds the budget settings, in US dollars. A nil one sets no ceiling; one
// of 0 allows nothing.
type Budget struct {
	Day, Run, Agent, Call *float64
	OnExceed              string // stop, ask, downgrade or partial
}

// Cache holds the settings of the response cache.
type Cache struct {
	Enabled       bool
	TTL           time.Duration            // how long an answer is kept
	MaxBytes      int64                    // size of the store at which the oldest answers are deleted
	ExcludeAgents []string                 // agents whose answers are not cached
	AgentTTL      map[string]time.Duration // per agent, instead of TTL
	EncryptionKey string                   // env:NAME, file:PATH or command:…; empty means no encryption
}

// AutoSelect holds the settings for choosing a model if the model is auto.
type AutoSelect struct {
	Rules string // file of rules instead of the built-in ones, absolute; empty for none
}

// Analytics holds the settings for storing calls. A duration of 0 means for ever.
type Analytics struct {
	Enabled   bool
	KeepRows  time.Duration // for single calls
	KeepHours time.Duration // for sums per hour; at least KeepRows
}

// Permissions holds rules for what agents do, in the syntax of Claude Code. They are
// not checked here.
type Permissions struct {
	Allow, Deny, Ask []string
	Mode             string   // what is done without a rule; empty for the default
	AddDirs          []string // folders outside the project that agents may use, absolute
}

// Telemetry holds the settings of traces and metrics.
type Telemetry struct {
	Enabled bool // if an endpoint is configured
	Content bool // include prompts and answers
}

// Sources says where to read settings from.
type Sources struct {
	Dir     string                   // where the search for the project's file starts; empty for the working directory
	UserDir string                   // the user's configuration folder for this program; empty for none
	Home    string                   // the user's home, for the default data folder and as the end of the search; may be empty
	Getenv  func(name string) string // nil for no environment
	Environ []string                 // the names of all variables that are set, to find empty and misspelt ones; may be nil
}

// Error is one problem in a file or variable. Its text is
// "file:line: message (hint)".
type Error struct {
	File    string // a path, a variable's name or a flag
	Line    int    // from 1; 0 if there is none
	Message string
	Hint    string // may be empty
}

// FaultKind returns [fault.KindInput].
func (e *Error) FaultKind() fault.Kind { return fault.KindInput }

func (e *Error) Error() string {
	var sb strings.Builder
	sb.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&sb, ":%d", e.Line)
	}
	sb.WriteString(": " + e.Message)
	if e.Hint != "" {
		sb.WriteString(" (" + e.Hint + ")")
	}
	return sb.String()
}

// Load reads all sources. The error joins one [Error] for each problem in them.
func Load(src Sources) (*Config, error) {
	getenv := src.Getenv
	if getenv == nil {
		getenv = func(string) string { return "" }
	}
	cfg := defaults(src, getenv)
	var errs []error
	project, err := findProject(src)
	errs = append(errs, err)
	if project != "" && filepath.Dir(project) != src.UserDir {
		errs = append(errs, cfg.readFile(project, true))
	}
	if src.UserDir != "" {
		errs = append(errs, cfg.readFile(filepath.Join(src.UserDir, FileName), false))
	}
	for _, s := range settings {
		if s.env == "" {
			continue
		}
		value := getenv(s.env)
		switch empty := strings.TrimSpace(value) == ""; {
		case !empty:
			errs = append(errs, cfg.Set(s.name, value, s.env))
		case strings.HasPrefix(s.env, ownPrefix) && (value != "" || slices.Contains(src.Environ, s.env)):
			errs = append(errs, &Error{File: s.env, Message: "the variable is set, but empty", Hint: "give it a value, or unset it"})
		}
	}
	errs = append(errs, cfg.unknownVariables(src.Environ)...)
	if err := errors.Join(errs...); err != nil {
		return cfg, err
	}
	return cfg, cfg.settleKeep()
}

// ownPrefix begins the names of this program's own variables. One of them that is set
// to nothing, as from a shell variable that is not set, is never taken for one that
// is not set: a budget would be none. Other programs share the other variables.
const ownPrefix = "CLAUDE_FORCE_"

// Variables of programs that use a server, which are no settings.
const (
	ServerVar    = ownPrefix + "SERVER"     // its address
	ServerKeyVar = ownPrefix + "SERVER_KEY" // the key for it
)

// unknownVariables returns an error for each variable that looks like one of ours and
// is none: a budget with a typing error would be no budget.
func (c *Config) unknownVariables(names []string) []error {
	known := []string{ServerVar, ServerKeyVar}
	for _, s := range settings {
		if s.env != "" {
			known = append(known, s.env)
		}
	}
	var errs []error
	for _, name := range slices.Sorted(slices.Values(names)) {
		upper := strings.ToUpper(name)
		if !strings.HasPrefix(upper, ownPrefix) || slices.Contains(known, name) || c.Cache.EncryptionKey == "env:"+name {
			continue
		}
		if near := nearest.Name(upper, known); near != "" {
			errs = append(errs, &Error{File: name, Message: "there is no such variable", Hint: fmt.Sprintf("did you mean %s?", near)})
		} else {
			c.Notes = append(c.Notes, fmt.Sprintf("the variable %s is none of ours and is ignored", name))
		}
	}
	return errs
}

// knownSettings returns the advice for an unknown name of a setting.
func knownSettings(name string) string {
	if near := nearest.Name(name, Names()); near != "" {
		return fmt.Sprintf("did you mean %s?", near)
	}
	return "known settings are " + strings.Join(Names(), ", ")
}

func defaults(src Sources, getenv func(string) string) *Config {
	cfg := &Config{
		Model: "haiku", MaxTokens: 16_384, Jobs: 10, Timeout: 10 * time.Minute, Outage: time.Minute, Tier: "start", Memory: true, ContextEditing: true,
		Budget: Budget{OnExceed: "stop"},
		Cache: Cache{
			Enabled: true, TTL: 24 * time.Hour, MaxBytes: 1 << 30,
			ExcludeAgents: []string{"creative-writer"}, AgentTTL: map[string]time.Duration{},
		},
		Analytics: Analytics{Enabled: true, KeepRows: 365 * 24 * time.Hour, KeepHours: 2 * 365 * 24 * time.Hour},
		Telemetry: Telemetry{Enabled: true}, TimeZone: time.Local,
		origins: map[string]string{},
	}
	if path := filepath.Join(src.UserDir, PricesName); src.UserDir != "" && isFile(path) {
		cfg.Prices = path
	}
	switch data := getenv("XDG_DATA_HOME"); {
	case filepath.IsAbs(data):
		cfg.DataDir = filepath.Join(data, "claude-force")
	case src.Home != "":
		cfg.DataDir = filepath.Join(src.Home, ".local", "share", "claude-force")
	}
	return cfg
}

// findProject returns the path of the nearest configuration file, from the working
// directory up to the root of its repository. Outside a repository only the working
// directory counts, so that another user's file in /tmp has no effect.
func findProject(src Sources) (string, error) {
	start, err := filepath.Abs(src.Dir)
	if err != nil {
		return "", fmt.Errorf("finding %s: %w", FileName, err)
	}
	nearest := ""
	for dir := start; ; dir = filepath.Dir(dir) {
		if path := filepath.Join(dir, FileName); nearest == "" && isFile(path) {
			nearest = path
			if dir == start {
				return nearest, nil
			}
		}
		if _, err := os.Stat(filepath.Join(dir, ".git")); err == nil {
			return nearest, nil
		}
		if dir == filepath.Dir(dir) || dir == src.Home {
			return "", nil
		}
	}
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// Set parses value and sets a setting. [Config.Origin] returns the origin, such as
// a flag, and errors name it.
func (c *Config) Set(name, value, origin string) error {
	i := slices.IndexFunc(settings, func(s setting) bool { return s.name == name })
	if i < 0 {
		return &Error{File: origin, Message: fmt.Sprintf("unknown setting %q", name), Hint: knownSettings(name)}
	}
	if err := settings[i].set(c, value); errors.Is(err, errRedacted) || errors.Is(err, errUser) || errors.Is(err, errURL) || errors.Is(err, errValkey) || errors.Is(err, errQuery) || errors.Is(err, errStore) {
		return &Error{File: origin, Message: name + ": the value " + err.Error()}
	} else if err != nil {
		return &Error{File: origin, Message: fmt.Sprintf("%s: %q %v", name, value, err)}
	}
	c.origins[name] = origin
	return nil
}

// Origin returns where a setting's value came from: "default", a path with a line,
// a variable's name or a flag.
func (c *Config) Origin(name string) string {
	if origin, ok := c.origins[name]; ok {
		return origin
	}
	return "default"
}

// Value returns a setting's value as text, in the form for [Config.Set].
func (c *Config) Value(name string) string {
	for _, s := range settings {
		if s.name == name {
			return s.get(c)
		}
	}
	return ""
}

// Names returns the names of all settings, in the order of the documentation.
func Names() []string {
	names := make([]string, len(settings))
	for i, s := range settings {
		names[i] = s.name
	}
	return names
}

// About returns a short description of a setting, and the environment variable
// that sets it, if any.
func About(name string) (about, env string) {
	for _, s := range settings {
		if s.name == name {
			return s.about, s.env
		}
	}
	return "", ""
}

// maxFile bounds a file of settings, in bytes.
const maxFile = 1 << 20

func (c *Config) readFile(path string, project bool) error {
	data, err := openfile.Read(path, maxFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("reading configuration: %w", err)
	}
	return c.parse(path, data, project)
}
