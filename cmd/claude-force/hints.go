package main

import (
	"errors"
	"fmt"
	"strings"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/benchfile"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/internal/credential"
	"github.com/claude-force/claude-force/internal/oslimit"
	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm/cache"
	"github.com/claude-force/claude-force/llm/cache/cachedb"
	"github.com/claude-force/claude-force/modelselect"
	"github.com/claude-force/claude-force/pipeline"
	"github.com/claude-force/claude-force/workflow"
)

// hints lists what to type after an error. The first entry that returns a text
// is used. Libraries know no commands; this is the one place that adds them.
var hints = []func(error) string{
	onType(func(e *journal.OwnedError) string {
		return fmt.Sprintf("follow it with `claude-force runs watch %s`, or stop it with `claude-force runs cancel %[1]s`", e.Run)
	}),
	onType(func(*journal.AmbiguousError) string { return "`claude-force runs list` shows the runs" }),
	onValue(journal.ErrNotFound, "`claude-force runs list` shows the runs"),
	onType(func(*claudeforce.ChangedError) string {
		return "with --accept-changes it resumes: unchanged steps keep their results, the rest runs again"
	}),
	onValue(claudeforce.ErrRunCompleted, "see its results with `claude-force runs output`, or run the workflow again"),
	onType(func(e *engine.EffectsError) string {
		return "run it again with `claude-force runs resume --again " + e.Step + "`"
	}),
	onValue(claudeforce.ErrNoCredentials, "to look around without one, run `claude-force demo` or add --simulate"),
	onType(func(e *workflow.MissingParamError) string { return "use --param " + e.Name + "=VALUE" }),
	onType(func(*cache.KeyError) string { return "`claude-force cache list` shows the keys" }),
	onType(func(e *cachedb.FileError) string {
		if e.Full {
			return "`claude-force cache clear` frees space"
		}
		return "--no-cache does without it"
	}),
	onType(func(e *postgres.SchemaError) string {
		if e.Newer {
			return ""
		}
		return "apply them with `claude-force store migrate`"
	}),
	onType(func(*pipeline.PricesError) string { return "`claude-force models list --json` shows the shape" }),
	onType(func(*modelselect.PriceError) string {
		return "`claude-force models list` shows the models that have a price"
	}),
	onLimit,
	onValue(benchfile.ErrNoVersion, "`claude-force bench --output FILE` writes one"),
}

// onLimit returns a hint for errors that come from a limit of the system. Stores have
// explained their own.
func onLimit(err error) string {
	text := oslimit.Explain(err)
	if about, _, _ := strings.Cut(text, ":"); text == "" || strings.Contains(err.Error(), about) {
		return ""
	}
	return text
}

// onType returns a hint for errors of type E.
func onType[E error](text func(E) string) func(error) string {
	return func(err error) string {
		if e, ok := errors.AsType[E](err); ok {
			return text(e)
		}
		return ""
	}
}

// onValue returns a hint for errors that match target.
func onValue(target error, text string) func(error) string {
	return func(err error) string {
		if errors.Is(err, target) {
			return text
		}
		return ""
	}
}

// hint returns what to type after err, or an empty string.
func hint(err error) string {
	for _, h := range hints {
		if text := h(err); text != "" {
			return text
		}
	}
	return ""
}

// withHint returns the text of err and its hint, without credentials: others say what
// they could not read.
func withHint(err error) string {
	text := credential.Redact(err.Error())
	if h := hint(err); h != "" {
		return text + "; " + h
	}
	return text
}

// checkHint returns what to do about a check of doctor, commands included.
func checkHint(c claudeforce.Check) string {
	if c.Hint == "" {
		return ""
	}
	switch c.Name {
	case "configuration":
		return c.Hint + "; settings are listed by `claude-force config show`"
	case "key":
		if c.Status == claudeforce.CheckFailed {
			return c.Hint + ", or use --simulate"
		}
	case "history":
		if c.Hint == claudeforce.HintMigrate {
			return "run `claude-force store migrate`"
		}
	case "agents":
		return "see `claude-force agents lint`"
	}
	return c.Hint
}
