package claudeforce

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/anthropic"
	"github.com/claude-force/claude-force/modelselect"
	"github.com/claude-force/claude-force/pipeline"
	"github.com/claude-force/claude-force/task"
)

// checkService checks the service, the credential and, with the service's own clock,
// ours. A model that is not there, and prices that cannot be read, are checks too.
func checkService(ctx context.Context, opts Options, cfg *config.Config, offline bool) []Check {
	clock := Check{"clock", CheckSkipped, "not compared", ""}
	provider, err := pipeline.ClientOptions(cfg, pipeline.Options{Simulator: opts.Simulator, Cloud: opts.Cloud, HTTPClient: opts.HTTPClient})
	if err != nil {
		clock.Detail = "compared with the service's once there is a key"
		return []Check{
			{"key", CheckFailed, withoutCode(err), "set ANTHROPIC_API_KEY to a key from https://platform.claude.com/settings/keys"},
			clock,
		}
	}
	key := Check{"key", CheckPassed, "found in " + provider.KeySource, ""}
	if provider.KeySource == "" {
		key.Detail = "those of " + provider.Backend + " are used"
	}
	if offline || provider.Backend == anthropic.BackendBedrock { // which has no free call
		key.Detail += "; not tried"
		return []Check{key, clock}
	}
	prices, err := pipeline.LoadPrices(cfg)
	if err != nil {
		return []Check{{"prices", CheckFailed, err.Error(), "correct the file, or name another"}, key, clock}
	}
	provider.OnHeaders = func(_ *llm.Request, _ int, header http.Header) {
		if at, err := http.ParseTime(header.Get("Date")); err == nil {
			clock = compareClock(time.Since(at))
		}
	}
	name := cfg.Model
	if name == modelselect.Auto {
		name = task.RepairModel // counting costs nothing with any
	}
	model, _ := prices.Resolve(name)
	client, err := anthropic.New(provider)
	if err == nil {
		_, err = client.CountTokens(ctx, &llm.Request{Model: model, Messages: []llm.Message{llm.UserText("hello")}, MaxTokens: 1})
	}
	return append(judgeCount(err, ctx.Err() != nil, model, provider.BaseURL, key), clock)
}

// judgeCount returns what the outcome of counting tokens says of the service, the key
// and the model. A service in trouble says nothing of the key.
func judgeCount(err error, late bool, model, baseURL string, key Check) []Check {
	service := Check{"service", CheckPassed, "it answers", ""}
	if err == nil {
		key.Detail += "; the service takes it"
		return []Check{service, key}
	}
	detail, code := withoutCode(err), llm.CodeOf(err)
	status := 0
	if e, ok := errors.AsType[*llm.Error](err); ok {
		status = e.Status
	}
	trouble := func(status CheckStatus, hint string) []Check {
		service.Status, service.Detail, service.Hint = status, detail, hint
		key.Detail += "; not tried"
		return []Check{service, key}
	}
	const network = "check the network, a proxy (HTTPS_PROXY) or base_url"
	switch {
	case late:
		detail = "no answer in time"
		return trouble(CheckWarned, network)
	case code == llm.CodeConnection || code == llm.CodeTimeout:
		detail = "it cannot be reached: " + detail
		return trouble(CheckWarned, network)
	case status == http.StatusProxyAuthRequired:
		return trouble(CheckFailed, "check HTTPS_PROXY")
	case status >= 300 && status < 400:
		return trouble(CheckFailed, "check base_url")
	case code == llm.CodeNotFound && endsInVersion(baseURL):
		return trouble(CheckFailed, "remove /v1 from the end of base_url")
	case code == llm.CodeNotFound && (baseURL == "" || strings.Count(detail, model) > 1): // the service names it too
		return []Check{service, key, {"model", CheckFailed, detail, "choose another with the setting model"}}
	case code == llm.CodeNotFound || status == http.StatusMethodNotAllowed || status == http.StatusNotImplemented:
		service.Detail = fmt.Sprintf("it answers, but does not count tokens (HTTP %d)", status)
		key.Detail += "; not tried, since that costs nothing only by counting"
		return []Check{service, key}
	case code == llm.CodeRateLimit || code == llm.CodeOverloaded:
		return trouble(CheckWarned, "wait; calls wait by themselves until they are let in")
	case code == llm.CodeServer:
		return trouble(CheckWarned, "try again later; if it lasts, check what base_url leads to")
	case code == llm.CodeBilling || code == llm.CodeSpendLimit:
		key.Status, key.Detail, key.Hint = CheckFailed, detail, "see the billing and limits pages of https://platform.claude.com"
		return []Check{service, key}
	case code == llm.CodeAuth && status == http.StatusForbidden:
		key.Status, key.Detail, key.Hint = CheckFailed, detail, "check what the key may do, and whether a proxy or gateway refuses the call"
		return []Check{service, key}
	case code == llm.CodeAuth:
		key.Status, key.Detail, key.Hint = CheckFailed, detail, "check the key and the account it belongs to"
		return []Check{service, key}
	}
	return trouble(CheckFailed, "check that base_url leads to the Messages API, and the setting model")
}

// endsInVersion reports whether a base URL ends in /v1, which calls add.
func endsInVersion(baseURL string) bool {
	u, err := url.Parse(baseURL)
	return err == nil && path.Base(u.Path) == "v1"
}

// withoutCode returns the text of err without the name of its code, which is for
// programs.
func withoutCode(err error) string {
	return strings.TrimSuffix(err.Error(), " ("+llm.CodeOf(err).String()+")")
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
