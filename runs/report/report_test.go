package report_test

import (
	"context"
	"encoding/xml"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/runs/report"
	"github.com/claude-force/claude-force/workflow"
)

const source = `
name: Checks
steps:
  - {id: fine, agent: a, task: fine}
  - {id: bad, agent: a, task: bad}
  - {id: after, agent: a, task: fine, dependencies: [bad]}
  - {id: extra, agent: a, task: bad, on_failure: continue}
  - {id: each, foreach: [fine, bad], agent: a, task: "${{ item }}", on_failure: continue}
  - {id: tried, agent: a, task: bad, on_failure: {fallback: instead}}
  - {id: instead, agent: a, task: fine}
  - id: group
    steps:
      - {id: one, agent: a, task: fine}
      - {id: two, agent: a, task: bad}
  - {id: filled, output: "${{ steps.only.json.missing }}", steps: [{id: only, agent: a, task: fine}]}
`

// run runs a workflow in which what is asked "bad" fails with an error.
func run(t interface {
	Helper()
	Fatal(...any)
}, source, failure string,
) (*workflow.Workflow, *engine.Result) {
	t.Helper()
	wf, err := workflow.Parse("wf.yaml", []byte(source), workflow.Options{})
	if err != nil {
		t.Fatal(err)
	}
	res, err := engine.Run(context.Background(), wf, engine.Options{
		RunID: "run_1",
		Execute: func(_ context.Context, a engine.Attempt) (llm.Outcome, error) {
			if a.Task == "bad" {
				return llm.Outcome{}, llm.NewError(llm.CodeInvalid, failure, errors.New(failure))
			}
			return llm.Outcome{Output: "done", CostUSD: new(0.25)}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return wf, res
}

type suites struct {
	Tests    int `xml:"tests,attr"`
	Failures int `xml:"failures,attr"`
	Errors   int `xml:"errors,attr"`
	Skipped  int `xml:"skipped,attr"`
	Suites   []struct {
		Cases []struct {
			Class   string   `xml:"classname,attr"`
			Name    string   `xml:"name,attr"`
			Failure *outcome `xml:"failure"`
			Error   *outcome `xml:"error"`
			Skipped *outcome `xml:"skipped"`
		} `xml:"testcase"`
	} `xml:"testsuite"`
}

type outcome struct {
	Message string `xml:"message,attr"`
}

func junit(t interface{ Fatal(...any) }, wf *workflow.Workflow, res *engine.Result) suites {
	var b strings.Builder
	if err := report.Write(&b, report.JUnit, wf, res); err != nil {
		t.Fatal(err)
	}
	var s suites
	dec := xml.NewDecoder(strings.NewReader(b.String()))
	if err := dec.Decode(&s); err != nil {
		t.Fatal(err, b.String())
	}
	return s
}

func TestJUnitHasACaseForEachStepAndItem(t *testing.T) {
	t.Parallel()
	wf, res := run(t, source, "it broke")
	s := junit(t, wf, res)
	got := map[string]string{}
	for _, c := range s.Suites[0].Cases {
		is := "passed"
		switch {
		case c.Failure != nil:
			is = "failed"
		case c.Error != nil:
			is = "error"
		case c.Skipped != nil:
			is = "skipped"
		}
		got[strings.TrimPrefix(c.Class, "Checks.")+":"+c.Name] = is
	}
	want := map[string]string{
		"fine:fine": "passed", "bad:bad": "failed", "after:after": "skipped", "extra:extra": "skipped",
		"each:fine": "passed", "each:bad": "skipped", "tried:tried": "skipped", "instead:instead": "passed",
		"group/one:group/one": "passed", "group/two:group/two": "failed",
		"filled/only:filled/only": "passed", "filled:filled": "failed",
	}
	for name, is := range want {
		if got[name] != is {
			t.Errorf("%s is %q; want %q", name, got[name], is)
		}
		delete(got, name)
	}
	if len(got) > 0 {
		t.Errorf("more cases: %v", got)
	}
	if s.Tests != len(want) || s.Failures != 3 || s.Errors != 0 || s.Skipped != 4 {
		t.Errorf("%d tests, %d failures, %d errors, %d skipped", s.Tests, s.Failures, s.Errors, s.Skipped)
	}
}

// TestJUnitOfATolerantRunThatFailed checks that a run which failed as a whole has a
// failure.
func TestJUnitOfATolerantRunThatFailed(t *testing.T) {
	t.Parallel()
	wf, res := run(t, "steps: [{id: a, agent: a, task: bad, on_failure: continue}]", "it broke")
	s := junit(t, wf, res)
	if s.Failures != 1 || s.Suites[0].Cases[1].Name != "run" || s.Suites[0].Cases[1].Failure.Message != "no step succeeded" {
		t.Errorf("%+v", s)
	}
}

// TestForeignTextIsText writes reports with any text as the reason of a failure: the XML
// must parse and keep what XML can hold, and Markdown must keep it in code spans of one
// line, without control characters.
func TestForeignTextIsText(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{
			"]]>", "\x00\x1b[31m", "a\nb", "``` | `", "`", "<b onclick=x>", "&amp;", "@everyone", "[a](http://b)", "\xff\xfe", "\u202eabc", "|\\|",
		})).Draw(t, "text")
		wf, res := run(t, source, text)
		for _, c := range junit(t, wf, res).Suites[0].Cases {
			if c.Class != "Checks.bad" {
				continue
			}
			want := strings.Map(func(r rune) rune {
				if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xfffe || r == 0xffff {
					return utf8.RuneError
				}
				return r
			}, strings.ToValidUTF8(*res.Steps["bad"].Error, "\ufffd"))
			if got := c.Failure.Message; utf8.RuneCountInString(want) == len(want) && got != want {
				t.Errorf("message %q; want %q", got, want)
			}
		}
		var b strings.Builder
		if err := report.Write(&b, report.Markdown, wf, res); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			if strings.ContainsAny(strings.TrimSuffix(line, "\n"), "\x00\x1b\r\u202e") {
				t.Errorf("line %q", line)
			}
			if rest, ok := strings.CutPrefix(line, "- `bad`: "); ok {
				if rest = outsideCode(strings.TrimSpace(rest)); rest != "" {
					t.Errorf("of %q stands outside of code: %q", line, rest)
				}
			}
		}
	})
}

// outsideCode returns what of a line of Markdown stands outside of code spans, by the rule
// of CommonMark: a span ends at the next run of as many backquotes as it began with.
func outsideCode(line string) string {
	outside := ""
	for line != "" {
		i := strings.IndexByte(line, '`')
		if i < 0 {
			return outside + line
		}
		outside += line[:i]
		rest := strings.TrimLeft(line[i:], "`")
		fence := line[i : len(line)-len(rest)]
		end := -1
		for at := 0; at < len(rest); {
			if rest[at] != '`' {
				at++
				continue
			}
			n := len(rest[at:]) - len(strings.TrimLeft(rest[at:], "`"))
			if n == len(fence) {
				end = at + n
				break
			}
			at += n
		}
		if end < 0 {
			return outside + line[i:]
		}
		line = rest[end:]
	}
	return outside
}

func TestMarkdownIsASummary(t *testing.T) {
	t.Parallel()
	wf, res := run(t, source, "it | broke\nbadly")
	res.TotalTimeSeconds = 2.34
	for _, s := range res.Steps {
		s.DurationSeconds = 1.25
	}
	var b strings.Builder
	if err := report.Write(&b, report.Markdown, wf, res); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"# `Checks`: failed\n", "`run_1` · 2.3s · $1.25 · 0 tokens\n", "| `fine` | `a` | completed | 1.3s | $0.25 |\n",
		"| `each` | `a` | completed, 2 items, 1 failed | 1.3s | $0.25 |\n", "has the result of `instead`",
		"- `each[bad]` (tolerated): `", "- `bad`: `it \\| broke badly", "- `after` (skipped): `", "- `group/two`: `",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in:\n%s", want, b.String())
		}
	}
}
