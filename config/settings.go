package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	units "github.com/docker/go-units"
)

// setting is one entry of the configuration. Every source has values as text.
type setting struct {
	name   string // dotted path in the file
	env    string // variable that sets it; may be empty
	about  string
	mine   bool // a project's file cannot set it
	set    func(*Config, string) error
	get    func(*Config) string
	nested bool // a mapping in the file, given as a=1,b=2 elsewhere
}

var settings = []setting{
	{
		name: "model", env: "CLAUDE_FORCE_MODEL", about: "model for agents without a model: an alias or an id",
		set: func(c *Config, v string) error { return text(&c.Model, v) },
		get: func(c *Config) string { return c.Model },
	}, {
		name: "max_tokens", env: "CLAUDE_FORCE_MAX_TOKENS", about: "most output tokens of a call",
		set: func(c *Config, v string) error { return count(&c.MaxTokens, v) },
		get: func(c *Config) string { return strconv.Itoa(c.MaxTokens) },
	}, {
		name: "context_editing", env: "CLAUDE_FORCE_CONTEXT_EDITING", about: "the service clears old results of tools in long conversations: true or false",
		set: func(c *Config, v string) error { return truth(&c.ContextEditing, v) },
		get: func(c *Config) string { return strconv.FormatBool(c.ContextEditing) },
	}, {
		name: "jobs", env: "CLAUDE_FORCE_JOBS", about: "most calls in flight at once",
		set: func(c *Config, v string) error { return count(&c.Jobs, v) },
		get: func(c *Config) string { return strconv.Itoa(c.Jobs) },
	}, {
		name: "timeout", env: "CLAUDE_FORCE_TIMEOUT", about: "longest time for one task, its retries included, or none",
		set: func(c *Config, v string) error { return timeLimit(&c.Timeout, v) },
		get: func(c *Config) string {
			if c.Timeout == 0 {
				return none
			}
			return short(c.Timeout)
		},
	}, {
		name: "outage", env: "CLAUDE_FORCE_OUTAGE", about: "how long calls are repeated while none to their model succeeds",
		set: func(c *Config, v string) error {
			var d time.Duration
			if err := duration(&d, v); err != nil {
				return err
			}
			if d == 0 {
				return errors.New("must be more than 0")
			}
			c.Outage = d
			return nil
		},
		get: func(c *Config) string { return short(c.Outage) },
	}, {
		name: "data_dir", env: "CLAUDE_FORCE_HOME", about: "folder of the store", mine: true,
		set: func(c *Config, v string) error { return folder(&c.DataDir, v) },
		get: func(c *Config) string { return c.DataDir },
	}, {
		// A project that names the store would read what the user asks and is answered.
		name: "store", env: "CLAUDE_FORCE_STORE", about: "address of a PostgreSQL database for the store instead of files; empty for files", mine: true,
		set: func(c *Config, v string) error { return storeAddress(&c.Store, v) },
		get: func(c *Config) string { return withoutPassword(c.Store) },
	}, {
		name: "memory", env: "CLAUDE_FORCE_MEMORY", about: "give CLAUDE.md and the rules in .claude/rules to agents with tools: true or false", mine: true,
		set: func(c *Config, v string) error { return truth(&c.Memory, v) },
		get: func(c *Config) string { return strconv.FormatBool(c.Memory) },
	}, {
		// A project that lowers prices would weaken the user's budgets.
		name: "prices", env: "CLAUDE_FORCE_PRICES", about: "file of prices that override the built-in ones", mine: true,
		set: func(c *Config, v string) error {
			if v == "" {
				c.Prices = ""
				return nil
			}
			return folder(&c.Prices, v)
		},
		get: func(c *Config) string { return c.Prices },
	}, {
		name: "auto_select.rules", env: "CLAUDE_FORCE_AUTO_SELECT_RULES", about: "file of rules for choosing a model if the model is auto",
		set: func(c *Config, v string) error {
			if v == "" {
				c.AutoSelect.Rules = ""
				return nil
			}
			return folder(&c.AutoSelect.Rules, v)
		},
		get: func(c *Config) string { return c.AutoSelect.Rules },
	}, {
		name: "backend", about: "who serves Claude: anthropic, bedrock or vertex", mine: true,
		set: func(c *Config, v string) error {
			if !slices.Contains([]string{"anthropic", "bedrock", "vertex"}, v) {
				return errors.New("is none of anthropic, bedrock, vertex")
			}
			c.Backend = v
			return nil
		},
		get: func(c *Config) string { return c.Backend },
	}, {
		name: "base_url", env: "ANTHROPIC_BASE_URL", about: "root of the API; empty for the backend's own", mine: true,
		set: func(c *Config, v string) error {
			u, err := url.Parse(v)
			if strings.Contains(v, "@") { // it may be a password
				return errUser
			}
			if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
				return errURL
			}
			if u.RawQuery != "" || u.Fragment != "" {
				return errQuery
			}
			c.BaseURL = v
			return nil
		},
		get: func(c *Config) string { return c.BaseURL },
	}, {
		name: "region", about: "region of Bedrock or Vertex AI", mine: true,
		set: func(c *Config, v string) error { return text(&c.Region, v) },
		get: func(c *Config) string { return c.Region },
	}, {
		name: "project_id", about: "project of Vertex AI", mine: true,
		set: func(c *Config, v string) error { return text(&c.ProjectID, v) },
		get: func(c *Config) string { return c.ProjectID },
	}, {
		name: "budget.day", env: "CLAUDE_FORCE_BUDGET_DAY", about: "most US dollars of a day, all processes together; none for no ceiling, 0 to allow nothing",
		set: func(c *Config, v string) error { return dollars(&c.Budget.Day, v) },
		get: func(c *Config) string { return usd(c.Budget.Day) },
	}, {
		name: "budget.run", env: "CLAUDE_FORCE_BUDGET_RUN", about: "most US dollars of a run",
		set: func(c *Config, v string) error { return dollars(&c.Budget.Run, v) },
		get: func(c *Config) string { return usd(c.Budget.Run) },
	}, {
		name: "budget.agent", env: "CLAUDE_FORCE_BUDGET_AGENT", about: "most US dollars of one agent in a day",
		set: func(c *Config, v string) error { return dollars(&c.Budget.Agent, v) },
		get: func(c *Config) string { return usd(c.Budget.Agent) },
	}, {
		name: "budget.call", env: "CLAUDE_FORCE_BUDGET_CALL", about: "most US dollars of a single call",
		set: func(c *Config, v string) error { return dollars(&c.Budget.Call, v) },
		get: func(c *Config) string { return usd(c.Budget.Call) },
	}, {
		name: "budget.on_exceed", about: "what happens to a call that would exceed a budget: stop, ask, downgrade or partial",
		set: func(c *Config, v string) error {
			return oneOf(&c.Budget.OnExceed, v, "stop", "ask", "downgrade", "partial")
		},
		get: func(c *Config) string { return c.Budget.OnExceed },
	}, {
		name: "tier", env: "CLAUDE_FORCE_TIER", about: "usage tier for the initial rate limits, until the service sends its own: start, build, scale or none",
		set: func(c *Config, v string) error { return oneOf(&c.Tier, v, "start", "build", "scale", "none") },
		get: func(c *Config) string { return c.Tier },
	}, {
		name: "fallback_models", env: "CLAUDE_FORCE_FALLBACK_MODELS", about: "models to try if one is down or refuses, the best first",
		set: func(c *Config, v string) error {
			c.FallbackModels = nil
			for name := range strings.SplitSeq(v, ",") {
				if name = strings.TrimSpace(name); name != "" {
					c.FallbackModels = append(c.FallbackModels, name)
				}
			}
			return nil
		},
		get: func(c *Config) string { return strings.Join(c.FallbackModels, ",") },
	}, {
		name: "hedge", about: "when a slow call is sent a second time: off, or after the p90, p95 or p99 of recent calls",
		set: func(c *Config, v string) error {
			quantile, ok := map[string]float64{"off": 0, "p90": 0.90, "p95": 0.95, "p99": 0.99}[v]
			if !ok {
				return errors.New("is none of off, p90, p95, p99")
			}
			c.Hedge = quantile
			return nil
		},
		get: func(c *Config) string {
			if c.Hedge == 0 {
				return "off"
			}
			return fmt.Sprintf("p%.0f", 100*c.Hedge)
		},
	}, {
		name: "cache.enabled", env: "CLAUDE_FORCE_CACHE", about: "whether answers are cached",
		set: func(c *Config, v string) error { return truth(&c.Cache.Enabled, v) },
		get: func(c *Config) string { return strconv.FormatBool(c.Cache.Enabled) },
	}, {
		name: "cache.ttl", env: "CLAUDE_FORCE_CACHE_TTL", about: "how long an answer is kept",
		set: func(c *Config, v string) error { return period(&c.Cache.TTL, v) },
		get: func(c *Config) string { return short(c.Cache.TTL) },
	}, {
		name: "cache.max_size", env: "CLAUDE_FORCE_CACHE_MAX_SIZE", about: "size of all answers at which the least recently used are deleted, and paid for again when they are wanted",
		set: func(c *Config, v string) error {
			n, err := units.RAMInBytes(v)
			if err != nil || n <= 0 {
				return errors.New("is not a size such as 256MiB")
			}
			c.Cache.MaxBytes = n
			return nil
		},
		get: func(c *Config) string { return units.BytesSize(float64(c.Cache.MaxBytes)) },
	}, {
		name: "cache.exclude_agents", env: "CLAUDE_FORCE_CACHE_EXCLUDE_AGENTS", about: "agents whose answers are not cached",
		set: func(c *Config, v string) error {
			c.Cache.ExcludeAgents = nil
			for name := range strings.SplitSeq(v, ",") {
				if name = strings.TrimSpace(name); name != "" {
					c.Cache.ExcludeAgents = append(c.Cache.ExcludeAgents, name)
				}
			}
			return nil
		},
		get: func(c *Config) string { return strings.Join(c.Cache.ExcludeAgents, ",") },
	}, {
		name: "cache.agent_ttl", about: "how long the answers of single agents are kept", nested: true,
		set: func(c *Config, v string) error {
			ttls := map[string]time.Duration{}
			for entry := range strings.SplitSeq(v, ",") {
				name, value, ok := strings.Cut(entry, "=")
				var ttl time.Duration
				if !ok || period(&ttl, strings.TrimSpace(value)) != nil {
					return errors.New("is not a list such as linter=72h,planner=1h")
				}
				ttls[strings.TrimSpace(name)] = ttl
			}
			c.Cache.AgentTTL = ttls
			return nil
		},
		get: func(c *Config) string {
			var entries []string
			for _, name := range slices.Sorted(maps.Keys(c.Cache.AgentTTL)) {
				entries = append(entries, name+"="+short(c.Cache.AgentTTL[name]))
			}
			return strings.Join(entries, ",")
		},
	}, {
		name: "cache.encryption_key", env: "CLAUDE_FORCE_CACHE_ENCRYPTION_KEY", mine: true,
		about: "where the key that encrypts the store is: env:NAME, file:PATH or command:…",
		set: func(c *Config, v string) error {
			kind, rest, _ := strings.Cut(v, ":")
			if !slices.Contains([]string{"env", "file", "command"}, kind) || rest == "" {
				c.Cache.EncryptionKey = ""
				// The value may be the key itself, so the error does not contain it.
				return errRedacted
			}
			c.Cache.EncryptionKey = v
			return nil
		},
		get: func(c *Config) string { return c.Cache.EncryptionKey },
	}, {
		name: "valkey", env: "CLAUDE_FORCE_VALKEY", about: "Valkey or Redis that machines share limits by: redis://, rediss:// (TLS) or unix://; empty for none", mine: true,
		set: func(c *Config, v string) error {
			u, err := url.Parse(v)
			remote := err == nil && slices.Contains([]string{"redis", "rediss", "valkey", "valkeys"}, u.Scheme) && u.Hostname() != ""
			local := err == nil && u.Scheme == "unix" && u.Host == "" && u.Path != ""
			if v != "" && !remote && !local {
				return errValkey
			}
			c.Valkey = v
			return nil
		},
		get: func(c *Config) string {
			u, err := url.Parse(c.Valkey)
			if err != nil {
				return ""
			}
			return u.Redacted()
		},
	}, {
		// The calls of all projects are stored together: a project must not drop
		// those of the others.
		name: "analytics.enabled", env: "CLAUDE_FORCE_ANALYTICS", about: "whether calls are stored for analytics", mine: true,
		set: func(c *Config, v string) error { return truth(&c.Analytics.Enabled, v) },
		get: func(c *Config) string { return strconv.FormatBool(c.Analytics.Enabled) },
	}, {
		name: "analytics.keep_rows", env: "CLAUDE_FORCE_ANALYTICS_KEEP_ROWS", about: "how long single calls are kept for analytics: 90d, or forever", mine: true,
		set: func(c *Config, v string) error { return keep(&c.Analytics.KeepRows, v) },
		get: func(c *Config) string { return keepText(c.Analytics.KeepRows) },
	}, {
		name: "analytics.keep_hours", env: "CLAUDE_FORCE_ANALYTICS_KEEP_HOURS", about: "how long sums per hour are kept, at least as long; sums per day are kept forever", mine: true,
		set: func(c *Config, v string) error { return keep(&c.Analytics.KeepHours, v) },
		get: func(c *Config) string { return keepText(c.Analytics.KeepHours) },
	}, {
		name: "time_zone", env: "CLAUDE_FORCE_TIME_ZONE", about: "time zone of days in figures and budgets: local, UTC or a name such as Europe/Berlin", mine: true,
		set: func(c *Config, v string) error { return zone(&c.TimeZone, v) },
		get: func(c *Config) string { return zoneText(c.TimeZone) },
	}, {
		name: "permissions.allow", about: "what agents may do, as a list of rules such as Edit(src/**)", mine: true,
		set: func(c *Config, v string) error { return list(&c.Permissions.Allow, v) },
		get: func(c *Config) string { return strings.Join(c.Permissions.Allow, ", ") },
	}, {
		name: "permissions.deny", about: "what agents may not do, whatever else allows it",
		set: func(c *Config, v string) error { return list(&c.Permissions.Deny, v) },
		get: func(c *Config) string {
			return strings.Join(slices.Concat(c.Permissions.Deny, c.Project.Deny), ", ")
		},
	}, {
		name: "permissions.ask", about: "what agents may do only after a question",
		set: func(c *Config, v string) error { return list(&c.Permissions.Ask, v) },
		get: func(c *Config) string {
			return strings.Join(slices.Concat(c.Permissions.Ask, c.Project.Ask), ", ")
		},
	}, {
		name: "permissions.mode", about: "what is done without a rule: default, acceptEdits, plan, dontAsk or bypassPermissions",
		set: func(c *Config, v string) error {
			return oneOf(&c.Permissions.Mode, v, "default", "acceptEdits", "plan", "dontAsk", "bypassPermissions")
		},
		get: func(c *Config) string { return cmp.Or(c.Project.Mode, c.Permissions.Mode, "default") },
	}, {
		name: "permissions.add_dirs", about: "folders outside the project that agents may use", mine: true,
		set: func(c *Config, v string) error {
			var dirs []string
			if err := list(&dirs, v); err != nil {
				return err
			}
			for i := range dirs {
				if err := folder(&dirs[i], dirs[i]); err != nil {
					return err
				}
			}
			c.Permissions.AddDirs = dirs
			return nil
		},
		get: func(c *Config) string { return strings.Join(c.Permissions.AddDirs, ", ") },
	}, {
		name: "sandbox", about: "on or off: off runs commands of agents without isolation", mine: true,
		set: func(c *Config, v string) error {
			if v != "on" && v != "off" && v != "true" && v != "false" {
				return errors.New("is neither on nor off")
			}
			c.SandboxOff = v == "off" || v == "false"
			return nil
		},
		get: func(c *Config) string {
			if c.SandboxOff {
				return "off"
			}
			return "on"
		},
	}, {
		name: "telemetry.enabled", env: "CLAUDE_FORCE_TELEMETRY", mine: true,
		about: "whether traces and metrics are sent to OTEL_EXPORTER_OTLP_ENDPOINT",
		set:   func(c *Config, v string) error { return truth(&c.Telemetry.Enabled, v) },
		get:   func(c *Config) string { return strconv.FormatBool(c.Telemetry.Enabled) },
	}, {
		// Only the user decides where prompts go, so no environment variable sets
		// this: other software may have set it.
		name: "telemetry.content", about: "whether traces include prompts and answers", mine: true,
		set: func(c *Config, v string) error { return truth(&c.Telemetry.Content, v) },
		get: func(c *Config) string { return strconv.FormatBool(c.Telemetry.Content) },
	},
}

// errStore is the error of an address of a store that is none. Its value, which may hold
// a password, is not shown.
var errStore = errors.New("is not an address such as postgres://user@host:5432/database; write @, / and % in its parts as %40, %2F and %25")

var errRedacted = errors.New("must say where the key is, as env:NAME, file:PATH or command:…; it is not the key itself")

// errValkey is the error of an address that may hold a password. Its value is not shown.
var errValkey = errors.New("is not an address such as redis://HOST:PORT, rediss:// for TLS, or unix:///PATH, with USER:PASSWORD@ before the host or the path")

// errUser is the error of an endpoint that holds a user or a password. Its value is
// not shown.
var errUser = errors.New("must name no user or password; give the credential as ANTHROPIC_API_KEY")

// Errors of an endpoint whose value is not shown either, as it may hold a credential.
var (
	errURL   = errors.New("is not a URL such as https://api.anthropic.com")
	errQuery = errors.New("must have nothing after a ? or #; give the credential as ANTHROPIC_API_KEY")
)
