package web

import (
	"fmt"
	"html/template"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/dustin/go-humanize/english"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/internal/amount"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/runs"
)

// functions are what templates can call.
var functions = template.FuncMap{
	"static":       static,
	"icon":         icon,
	"state":        state,
	"dollars":      dollars,
	"usd":          amount.Dollars,
	"seconds":      seconds,
	"number":       amount.Thousands[int],
	"count":        amount.Thousands[int64],
	"plural":       english.Plural,
	"percent":      percent,
	"ago":          ago,
	"clock":        clock,
	"ahead":        ahead,
	"took":         took,
	"iso":          func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"short":        short,
	"segments":     segments,
	"tokens":       func(u llm.Usage) int { return u.PromptTokens() + u.OutputTokens },
	"detail":       func(ev journal.Event) string { return short(maxDetail, string(ev.Detail)) },
	"name":         runs.Name,
	"status":       runs.StatusOf,
	"join":         strings.Join,
	"withParam":    withParam,
	"pageOf":       func(target string, n int) string { return withParam(target, "page", strconv.Itoa(n)) },
	"add":          func(a, b int) int { return a + b },
	"written":      func(u llm.Usage) int { return u.CacheWrite5m + u.CacheWrite1h },
	"stepAt":       func(run, step, item string) string { return stepAddress(run, journal.Unit{Step: step, Item: item}) },
	"title":        func(s string) string { return strings.ToUpper(s[:1]) + s[1:] },
	"tokenCount":   tokenCount,
	"isNil":        func(list []string) bool { return list == nil },
	"begin":        func(n int, text string) string { return cutText(text, n) },
	"agentPath":    func(name string) string { return "/agents/" + url.PathEscape(name) },
	"keyPath":      keyPath,
	"scheduleAt":   scheduleAt,
	"inZone":       inZone,
	"webhookPath":  webhookPath,
	"workflowPath": func(name string) string { return "/workflows/" + url.PathEscape(name) },
	"bytes":        sizeOf,
	"times100":     func(v float64) float64 { return 100 * v },
}

// keyPath returns the address of the page of a key.
func keyPath(name string) string { return "/keys/" + url.PathEscape(name) }

// maxDetail is how many characters of the details of an event are shown.
const maxDetail = 300

// dollars returns an amount of US dollars; nil is one that is not known.
func dollars(usd *float64) string {
	if usd == nil {
		return "unknown"
	}
	return amount.Dollars(*usd)
}

// seconds returns a duration, of which clocks may have made less than nothing.
func seconds(s float64) string {
	if s <= 0 {
		return "0 s"
	}
	return amount.Seconds(s)
}

// tokenCount returns a number of tokens to three digits.
func tokenCount(n int64) string {
	return units.CustomSize("%.3g%s", float64(n), 1000, []string{"", "k", "M", "G", "T"})
}

// sizeOf returns a number of bytes in the largest unit.
func sizeOf(n int64) string { return units.BytesSize(float64(n)) }

func percent(v float64) string { return fmt.Sprintf("%.0f%%", 100*v) }

// ago returns how long ago a time was, to the largest unit.
func ago(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	d := time.Since(t)
	if d < time.Second {
		return "just now"
	}
	return strings.ToLower(units.HumanDuration(d)) + " ago"
}

// ahead returns how far away a time to come is, to the largest unit.
func ahead(t time.Time) string {
	d := time.Until(t)
	if d < time.Second {
		return "now"
	}
	return "in " + strings.ToLower(units.HumanDuration(d))
}

// took returns how long a run took, or has taken until now if a process drives it.
func took(run journal.Run) string {
	switch {
	case run.Owned():
		return seconds(time.Since(run.StartedAt).Seconds())
	case run.FinishedAt.IsZero():
		return "–"
	}
	return seconds(run.FinishedAt.Sub(run.StartedAt).Seconds())
}

// clock returns a time as people of this machine's time zone read it.
func clock(t time.Time) string { return t.Local().Format(time.DateTime) }

// short returns the beginning of a text as one line of at most n characters.
func short(n int, text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if r := []rune(text); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return text
}

// baseName returns the last part of the path of a folder.
func baseName(dir string) string { return filepath.Base(dir) }

// icon returns a picture of the sprite, which says nothing by itself.
func icon(name string) template.HTML {
	return template.HTML(`<svg class="icon" aria-hidden="true" focusable="false"><use href="` + static("icons.svg") + "#" + name + `"/></svg>`) //nolint:gosec // of names in templates
}

// states are the words for the statuses of runs and steps, and the pictures beside them.
var states = map[string]struct{ word, icon string }{
	string(journal.StatusRunning):     {"running", "running"},
	string(journal.StatusWaiting):     {"waiting", "waiting"},
	string(journal.StatusCompleted):   {"completed", "completed"},
	string(journal.StatusFailed):      {"failed", "failed"},
	string(journal.StatusInterrupted): {"interrupted", "interrupted"},
	string(journal.StatusCancelled):   {"cancelled", "cancelled"},
	string(runs.StatusCrashed):        {"crashed", "failed"},
	string(engine.StatusSkipped):      {"skipped", "skipped"},
	string(engine.StatusPending):      {"pending", "pending"},
}

// state returns a status with its picture.
func state(status any) template.HTML {
	s, ok := states[fmt.Sprint(status)]
	if !ok {
		s = states[string(engine.StatusPending)]
		s.word = "unknown"
	}
	return template.HTML(`<span class="state s-`+s.icon+`">`) + icon(s.icon) + template.HTML(s.word+`</span>`) //nolint:gosec // of the words above
}

// counts are how many of something have each status.
type counts struct {
	Total, Completed, Failed, Skipped, Running, Waiting int
}

// add counts one more.
func (c *counts) add(status engine.Status) {
	c.Total++
	switch status {
	case engine.StatusCompleted:
		c.Completed++
	case engine.StatusFailed:
		c.Failed++
	case engine.StatusSkipped:
		c.Skipped++
	case engine.StatusRunning:
		c.Running++
	case engine.StatusWaiting:
		c.Waiting++
	}
}

// Ended returns how many have ended, whichever way.
func (c counts) Ended() int { return c.Completed + c.Failed + c.Skipped }

// String returns the counts in words.
func (c counts) String() string {
	parts := []string{fmt.Sprintf("%s of %s completed", amount.Thousands(c.Completed), amount.Thousands(c.Total))}
	for _, part := range []struct {
		n    int
		word string
	}{{c.Failed, "failed"}, {c.Running, "running"}, {c.Waiting, "waiting"}, {c.Skipped, "skipped"}} {
		if part.n > 0 {
			parts = append(parts, amount.Thousands(part.n)+" "+part.word)
		}
	}
	return strings.Join(parts, ", ")
}

// segments draws counts as one bar with a part for each status.
func segments(c counts) template.HTML {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="segments" viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label="%s"><title>%[1]s</title><rect class="f-rest" width="100" height="8"/>`, c)
	x := 0.0
	for _, part := range []struct {
		n     int
		class string
	}{{c.Completed, "completed"}, {c.Failed, "failed"}, {c.Skipped, "skipped"}, {c.Running, "running"}, {c.Waiting, "waiting"}} {
		if part.n == 0 || c.Total == 0 {
			continue
		}
		width := 100 * float64(part.n) / float64(c.Total)
		fmt.Fprintf(&b, `<rect class="f-%s" x="%.2f" width="%.2f" height="8"/>`, part.class, x, width)
		x += width
	}
	b.WriteString("</svg>")
	return template.HTML(b.String()) //nolint:gosec // of numbers
}

// withParam returns an address with a parameter of its query set to a value, or taken out if
// that is empty. The cursor of a list goes with what it is a place in.
func withParam(target, name, value string) string {
	u, err := url.Parse(target)
	if err != nil {
		return target
	}
	q := u.Query()
	if q.Del(name); value != "" {
		q.Set(name, value)
	}
	if name != "cursor" && name != "page" {
		q.Del("cursor")
		q.Del("page")
	}
	u.RawQuery = q.Encode()
	return u.String()
}
