package claudeforce

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/anthropic"
	"github.com/claude-force/claude-force/modelselect"
	"github.com/claude-force/claude-force/pipeline"
	"github.com/claude-force/claude-force/task"
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

// Diagnose checks what agents need: the configuration, a credential and
// whether the service takes it, the clock, the store, and the agents' files.
// Offline, nothing is sent. It never fails: what is wrong is in the checks.
func Diagnose(ctx context.Context, opts Options, offline bool) []Check {
	cfg, checks := opts.Config, []Check(nil)
	if cfg == nil {
		var err error
		if cfg, err = LoadConfig(opts.Dir); err != nil {
			return append(checks, Check{"configuration", CheckFailed, err.Error(), "correct it"}, checkAgents(opts.Dir))
		}
	}
	checks = append(checks, Check{"configuration", CheckPassed, fmt.Sprintf("model %s, %d jobs", cfg.Model, cfg.Jobs), ""})
	checks = append(checks, checkService(ctx, opts, cfg, offline)...)
	return append(checks, checkStore(ctx, cfg), checkAgents(opts.Dir))
}

// checkService checks the credential and, with the service's own clock, ours.
func checkService(ctx context.Context, opts Options, cfg *config.Config, offline bool) []Check {
	provider, err := pipeline.ClientOptions(cfg, pipeline.Options{Simulator: opts.Simulator, Cloud: opts.Cloud, HTTPClient: opts.HTTPClient})
	if err != nil {
		return []Check{
			{"key", CheckFailed, strings.TrimSuffix(err.Error(), " ("+llm.CodeAuth.String()+")"), "set ANTHROPIC_API_KEY to a key from https://platform.claude.com/settings/keys"},
			{"clock", CheckSkipped, "compared with the service's once there is a key", ""},
		}
	}
	key := Check{"key", CheckPassed, "found in " + provider.KeySource, ""}
	if provider.KeySource == "" {
		key.Detail = "those of " + provider.Backend + " are used"
	}
	clock := Check{"clock", CheckSkipped, "not compared", ""}
	if offline || provider.Backend == anthropic.BackendBedrock { // which has no free call
		key.Detail += "; not tried"
		return []Check{key, clock}
	}
	provider.OnHeaders = func(_ *llm.Request, _ int, header http.Header) {
		if at, err := http.ParseTime(header.Get("Date")); err == nil {
			clock = compareClock(time.Since(at))
		}
	}
	client, err := anthropic.New(provider)
	if err == nil {
		prices, pricesErr := pipeline.LoadPrices(cfg)
		if pricesErr != nil {
			return []Check{{"prices", CheckFailed, pricesErr.Error(), "correct the file, or name another"}, key, clock}
		}
		name := cfg.Model
		if name == modelselect.Auto {
			name = task.RepairModel // counting costs nothing with any
		}
		id, _ := prices.Resolve(name)
		_, err = client.CountTokens(ctx, &llm.Request{Model: id, Messages: []llm.Message{llm.UserText("hello")}, MaxTokens: 1})
	}
	switch code := llm.CodeOf(err); {
	case err == nil:
		key.Detail += "; the service takes it"
	case code == llm.CodeConnection || code == llm.CodeTimeout:
		key.Status, key.Detail, key.Hint = CheckWarned, key.Detail+"; the service cannot be reached: "+err.Error(), "check the network, a proxy (HTTPS_PROXY) or base_url"
	default:
		key.Status, key.Detail, key.Hint = CheckFailed, err.Error(), "check the key and the account it belongs to"
	}
	return []Check{key, clock}
}

// compareClock judges how far the clock is off. Cloud credentials are signed
// with the time and refused when it is off by more than five minutes.
func compareClock(off time.Duration) Check {
	detail := fmt.Sprintf("off by %s", off.Abs().Round(time.Second))
	if off.Abs() > time.Minute {
		return Check{"clock", CheckWarned, detail, "set the clock; cached answers expire by it, and Bedrock refuses calls if it is off by five minutes"}
	}
	return Check{"clock", CheckPassed, detail, ""}
}

func checkStore(ctx context.Context, cfg *config.Config) Check {
	if !cfg.Cache.Enabled {
		return Check{"store", CheckWarned, "the response cache is off", "set cache.enabled to true to pay once for the same call"}
	}
	store, err := pipeline.OpenCache(ctx, cfg)
	if err != nil {
		return Check{"store", CheckFailed, err.Error(), "choose another folder with CLAUDE_FORCE_HOME"}
	}
	stats, err := store.Stats(ctx)
	if err = errors.Join(err, store.Close()); err != nil {
		return Check{"store", CheckFailed, err.Error(), "remove " + pipeline.DataDir(cfg.DataDir).Cache() + "; it is safe to delete"}
	}
	return Check{"store", CheckPassed, fmt.Sprintf("%s, %d answers", pipeline.DataDir(cfg.DataDir).Cache(), stats.Entries), ""}
}

func checkAgents(dir string) Check {
	set, warnings, err := Agents(dir)
	switch {
	case err != nil:
		return Check{"agents", CheckFailed, err.Error(), ""}
	case len(warnings) > 0:
		return Check{"agents", CheckWarned, fmt.Sprintf("%d found; %d warnings, the first: %s", len(set.All()), len(warnings), warnings[0]), "correct the files"}
	}
	return Check{"agents", CheckPassed, fmt.Sprintf("%d found", len(set.All())), ""}
}
