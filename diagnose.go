package claudeforce

import (
	"context"
	"fmt"
	"time"

	"github.com/dustin/go-humanize/english"

	"github.com/claude-force/claude-force/claudecode"
)

// CheckStatus says how a check of [Diagnose] ended.
type CheckStatus string

// Statuses of a check.
const (
	CheckPassed  CheckStatus = "passed"
	CheckWarned  CheckStatus = "warning" // works, but not as it should
	CheckFailed  CheckStatus = "failed"  // keeps agents from working
	CheckSkipped CheckStatus = "skipped" // could not be checked
)

// Check is what [Diagnose] found about one thing.
type Check struct {
	Name   string      `json:"name"`
	Status CheckStatus `json:"status"`
	Detail string      `json:"detail"`
	Hint   string      `json:"hint"` // what to do; may be empty
}

// checkTime is how long each check of [Diagnose] may take.
const checkTime = 10 * time.Second

// Diagnose checks what agents need: the configuration, a credential and
// whether the service takes it, the clock, every store and its folder, and the agents'
// files. Checks run at the same time, and each has a deadline of its own, so that one
// that hangs delays no other. Offline, nothing is sent. It never fails: what is wrong is
// in the checks. A check that does not end by its deadline goes on in the background.
func Diagnose(ctx context.Context, opts Options, offline bool) []Check {
	return diagnose(ctx, opts, offline, checkTime)
}

func diagnose(ctx context.Context, opts Options, offline bool, limit time.Duration) []Check {
	cfg := opts.Config
	if cfg == nil {
		var err error
		if cfg, err = LoadConfig(opts.Dir); err != nil {
			return []Check{{"configuration", CheckFailed, err.Error(), "correct it"}, checkAgents(opts.Dir)}
		}
	}
	first := Check{"configuration", CheckPassed, fmt.Sprintf("model %s, %s", cfg.Model, english.Plural(cfg.Jobs, "job", "")), ""}
	checks := []check{
		{[]string{"service", "key", "clock"}, func(ctx context.Context) []Check { return checkService(ctx, opts, cfg, offline) }},
	}
	checks = append(checks, storeChecks(cfg)...)
	if cfg.Valkey != "" && !offline {
		checks = append(checks, one("valkey", func(ctx context.Context) Check { return checkValkey(ctx, cfg) }))
	}
	checks = append(checks, check{[]string{"agents"}, func(context.Context) []Check { return []Check{checkAgents(opts.Dir)} }})
	checks = append(checks, check{[]string{"hooks"}, func(context.Context) []Check { return []Check{checkHooks(cfg, opts.Dir)} }})
	checks = append(checks, one(claudecode.Name, func(ctx context.Context) Check { return checkClaudeCode(ctx, opts.Dir) }))
	return append([]Check{first}, runChecks(ctx, limit, checks)...)
}

// check looks at the things it names.
type check struct {
	names []string
	run   func(ctx context.Context) []Check
}

// runChecks runs checks at the same time and returns what they found, in their order.
func runChecks(ctx context.Context, limit time.Duration, checks []check) []Check {
	var found []Check
	results := make([]chan []Check, len(checks))
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for i, c := range checks {
		results[i] = make(chan []Check, 1)
		go func() { results[i] <- c.run(limited) }() // may outlast the deadline
	}
	// What respects the deadline ends a little after it.
	patience := time.NewTimer(limit + limit/5)
	defer patience.Stop()
	late := false
	for i, c := range checks {
		if !late {
			select {
			case r := <-results[i]:
				found = append(found, r...)
				continue
			case <-patience.C:
				late = true
			}
		}
		select {
		case r := <-results[i]:
			found = append(found, r...)
		default:
			for _, name := range c.names {
				found = append(found, Check{name, CheckFailed, fmt.Sprintf("the check did not end within %s", limit), "another process may hold a lock, or the file system may hang"})
			}
		}
	}
	return found
}

func checkAgents(dir string) Check {
	set, warnings, err := Agents(dir)
	switch {
	case err != nil:
		return Check{"agents", CheckFailed, err.Error(), ""}
	case len(warnings) > 0:
		return Check{"agents", CheckWarned, fmt.Sprintf("%d found; %s, the first: %s", len(set.All()), english.Plural(len(warnings), "warning", ""), warnings[0]), "correct the files"}
	}
	return Check{"agents", CheckPassed, fmt.Sprintf("%d found", len(set.All())), ""}
}
