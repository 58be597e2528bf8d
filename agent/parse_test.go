package agent_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/agent"
)

func TestParse(t *testing.T) {
	t.Parallel()
	type want struct {
		name, description, prompt, model string
		tools                            []string
		all                              bool
		warnings                         int
	}
	tests := map[string]struct {
		file string
		want want
	}{
		"plain":                      {"---\nname: a\ndescription: does a\nmodel: haiku\n---\nYou do a.\n", want{"a", "does a", "You do a.", "haiku", nil, true, 0}},
		"tools as a text":            {"---\nname: a\ndescription: d\ntools: Read, Grep,Bash\n---\nP", want{"a", "d", "P", "", []string{"Read", "Grep", "Bash"}, false, 0}},
		"tools as a list":            {"---\nname: a\ndescription: d\ntools: [Read, 'mcp__x__*']\n---\nP", want{"a", "d", "P", "", []string{"Read", "mcp__x__*"}, false, 0}},
		"tools with parts":           {"---\nname: a\ndescription: d\ntools: Agent(x, y), Read\n---\nP", want{"a", "d", "P", "", []string{"Agent(x, y)", "Read"}, false, 0}},
		"all tools":                  {"---\nname: a\ndescription: d\ntools: '*'\n---\nP", want{"a", "d", "P", "", nil, true, 0}},
		"unquoted colon":             {"---\nname: a\ndescription: Use this: always\n---\nP", want{"a", "Use this: always", "P", "", nil, true, 1}},
		"unquoted specials":          {"---\nname: a\ndescription: 100% @home & {more} [text] # all of it\n---\nP", want{"a", "100% @home & {more} [text]", "P", "", nil, true, 1}},
		"backslash n":                {"---\nname: a\ndescription: one\\ntwo\n---\nP", want{"a", "one\ntwo", "P", "", nil, true, 0}},
		"folded":                     {"---\nname: a\ndescription: >\n  one\n  two\n---\nP", want{"a", "one two\n", "P", "", nil, true, 0}},
		"CRLF and byte order mark":   {"\ufeff---\r\nname: a\r\ndescription: d\r\n---\r\nOne\r\nTwo\r\n", want{"a", "d", "One\r\nTwo", "", nil, true, 0}},
		"no frontmatter":             {"# Reviewer\n\nYou review.\n", want{"file", "Reviewer", "# Reviewer\n\nYou review.", "", nil, true, 0}},
		"a rule in the body":         {"---\nname: a\ndescription: d\n---\nP\n---\nmore", want{"a", "d", "P\n---\nmore", "", nil, true, 0}},
		"unknown keys":               {"---\nname: a\ndescription: d\ncolor: red\nfuture: {x: 1}\n---\nP", want{"a", "d", "P", "", nil, true, 0}},
		"no name":                    {"---\ndescription: d\n---\nP", want{}},
		"no description":             {"---\nname: a\n---\nP", want{}},
		"no end":                     {"---\nname: a\ndescription: d\n", want{}},
		"not YAML, whatever is done": {"---\nname: a\n  description: [\n\t- x\n---\nP", want{}},
		"empty":                      {"", want{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			a, warnings, err := agent.Parse(".claude/agents/file.md", []byte(tt.file))
			if tt.want.name == "" {
				bad, ok := errors.AsType[*agent.NotAgentError](err)
				if a != nil || !ok || bad.File != ".claude/agents/file.md" || bad.Hint == "" {
					t.Fatalf("got %v, %v", a, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := want{a.Name, a.Description, a.Prompt, a.Model, a.Tools, a.AllTools, len(warnings)}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(want{})); diff != "" {
				t.Errorf("%s\nwarnings %v", diff, warnings)
			}
		})
	}
}

func TestErrorsNameTheLine(t *testing.T) {
	t.Parallel()
	_, _, err := agent.Parse("a.md", []byte("---\nname: a\ndescription: d\nextra: [1,\n---\nP"))
	bad, ok := errors.AsType[*agent.NotAgentError](err)
	if ok && bad.Line < 2 {
		t.Errorf("line %d: %v", bad.Line, err)
	}
	_, warnings, err := agent.Parse("a.md", []byte("---\nname: a\ndescription: d\ncache_ttl: soon\nmax_tokens: many\n---\nP"))
	if err != nil || len(warnings) != 2 {
		t.Fatalf("warnings %v, error %v", warnings, err)
	}
	for i, line := range []int{4, 5} {
		if warnings[i].Line != line || warnings[i].File != "a.md" {
			t.Errorf("%v; want line %d", warnings[i], line)
		}
	}
}

func TestOwnKeys(t *testing.T) {
	t.Parallel()
	a, warnings, err := agent.Parse("a.md", []byte("---\nname: a\ndescription: d\nmax_tokens: 500\ncache: false\ncache_ttl: 2h\neffort: low\ndisallowedTools: Bash\ncolor: red\n---\nP"))
	if err != nil || len(warnings) != 0 {
		t.Fatal(warnings, err)
	}
	if a.MaxTokens != 500 || !a.NoCache || a.CacheTTL != 2*time.Hour || a.Effort != "low" || len(a.DisallowedTools) != 1 || a.Extra["color"] != "red" {
		t.Errorf("got %+v", a)
	}
}

func TestFix(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ in, out string }{
		"a colon":  {"---\nname: a\ndescription: Use this: always\n---\nBody: stays\n", "---\nname: a\ndescription: 'Use this: always'\n---\nBody: stays\n"},
		"comments": {"---\n# who\nname: a\ndescription: x: y\n---\nP", "---\n# who\nname: a\ndescription: 'x: y'\n---\nP"},
		"CRLF":     {"---\r\nname: a\r\ndescription: x: y\r\n---\r\nP\r\n", "---\r\nname: a\r\ndescription: 'x: y'\r\n---\r\nP\r\n"},
		"nothing":  {"---\nname: a\ndescription: d\n---\nP", ""},
		"no agent": {"# only text", ""},
	}
	for name, tt := range tests {
		fixed, changed, err := agent.Fix([]byte(tt.in))
		if err != nil || changed != (tt.out != "") {
			t.Errorf("%s: changed %t, %v", name, changed, err)
			continue
		}
		if tt.out == "" {
			tt.out = tt.in
		}
		// Either quote will do; what counts is checked by FuzzFix.
		if got := strings.ReplaceAll(string(fixed), `"`, `'`); got != tt.out {
			t.Errorf("%s: %q; want %q", name, got, tt.out)
		}
	}
}

// seeds are frontmatter as people write it.
var seeds = []string{
	"---\nname: a\ndescription: does a\ntools: Read, Grep\n---\nYou do a.\n",
	"---\nname: a\ndescription: Use this: always. <example>Context: x\\nuser: \"y\"</example>\nmodel: opus\n---\nP",
	"---\nname: a\ndescription: |\n  one\n  two: three\ntools: [a, b]\ncolor: blue # no\n---\nP",
	"---\nname: a\nname: b\ndescription: twice: here\n---\n",
	"---\r\nname: 'it''s'\r\ndescription: \"q\\\"\"\r\n---\r\nx",
	"# no frontmatter",
	"---\n---\n",
	"---\nname: &x a\ndescription: *x\n<<: {a: b}\n---\nP",
	"\ufeff---\nname: a\ndescription: {broken\n---\nP",
}

func FuzzParse(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		a, warnings, err := agent.Parse("f.md", data)
		if (a == nil) == (err == nil) {
			t.Fatalf("agent %v and error %v", a, err)
		}
		if err != nil {
			if _, ok := errors.AsType[*agent.NotAgentError](err); !ok {
				t.Fatalf("error of type %T", err)
			}
			return
		}
		if a.Name == "" || a.Description == "" {
			t.Errorf("an agent without a name or a description: %+v", a)
		}
		lines := strings.Count(string(data), "\n") + 1
		for _, w := range warnings {
			if w.Line < 0 || w.Line > lines {
				t.Errorf("a file of %d lines has a warning on line %d", lines, w.Line)
			}
		}
	})
}

// FuzzFix checks that what Fix writes is read without repair, means the same,
// and is left alone by Fix.
func FuzzFix(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		before, _, beforeErr := agent.Parse("f.md", data)
		fixed, changed, err := agent.Fix(data)
		if err != nil || !changed {
			if string(fixed) != string(data) {
				t.Fatalf("not changed, but %q became %q", data, fixed)
			}
			return
		}
		if _, again, err := agent.Fix(fixed); err != nil || again {
			t.Fatalf("fixing %q again: changed %t, %v", fixed, again, err)
		}
		after, _, afterErr := agent.Parse("f.md", fixed)
		if (beforeErr == nil) != (afterErr == nil) {
			t.Fatalf("%q: %v; fixed %q: %v", data, beforeErr, fixed, afterErr)
		}
		if beforeErr == nil {
			if diff := cmp.Diff(before, after); diff != "" {
				t.Fatalf("%q\n%q\n%s", data, fixed, diff)
			}
		}
	})
}
