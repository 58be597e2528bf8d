// Package lint finds what is wrong in agent files: what makes a file no agent, models
// and tools that do not exist, and permission rules that can never match.
package lint

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/internal/openfile"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/tool/permission"
)

// Finding is something that is wrong in a file.
type Finding struct {
	File    string `json:"file"`
	Line    int    `json:"line"` // 0 if it is not in one line
	Message string `json:"message"`
	Hint    string `json:"hint"` // what to do about it; may be empty
	Fixed   bool   `json:"fixed"`
}

// String returns the finding in one line.
func (f Finding) String() string {
	return agent.Warning{File: f.File, Line: f.Line, Message: f.Message, Hint: f.Hint}.String()
}

// Of returns a warning as a finding.
func Of(w agent.Warning) Finding { return Finding{w.File, w.Line, w.Message, w.Hint, false} }

// Kind is a kind of problem, of which a program may know more to say.
type Kind string

// Kinds of problems for [Options.Advice].
const (
	BadYAML       Kind = "yaml"   // the frontmatter is read with quotes added, which Fix writes
	UnknownModel  Kind = "model"  // no model has the name
	UnknownServer Kind = "server" // no MCP server that is configured has the name
	UnknownTool   Kind = "tool"   // no tool has the name
)

// Options say what files are checked against.
type Options struct {
	Fix    bool              // rewrite frontmatter that is not valid YAML
	Policy permission.Policy // of the user: where paths begin, and what is denied whatever a file says
	// Servers are the names of the MCP servers that are configured; nil if they are not
	// known, and then not checked.
	Servers []string
	// Advice returns what to do about a problem for which nothing better is known, such
	// as where the names are listed. May be nil.
	Advice func(Kind) string
}

func (o *Options) advice(k Kind) string {
	if o.Advice == nil {
		return ""
	}
	return o.Advice(k)
}

// File returns what is wrong in one file. open reports whether a problem that matters
// remains.
func File(file string, opts Options) (found []Finding, open bool) {
	add := func(w agent.Warning) { found = append(found, Of(w)) }
	data, err := readAgentFile(file)
	if err != nil {
		add(agent.Warning{File: file, Message: "cannot be read: " + err.Error(), Hint: "it is left out"})
		return found, true
	}
	fixed, changed, err := agent.Fix(data)
	switch {
	case err == nil && changed && opts.Fix:
		if err := openfile.Replace(file, fixed); err != nil {
			add(agent.Warning{File: file, Line: 1, Message: "the frontmatter is not valid YAML and could not be rewritten: " + err.Error()})
			open = true
			break
		}
		found = append(found, Finding{file, 1, "frontmatter was not valid YAML; rewritten", "", true})
		data = fixed
	case err == nil && changed && !bytes.Equal(data, fixed):
		found = append(found, Finding{file, 1, "frontmatter is not valid YAML; it is read with quotes added", opts.advice(BadYAML), false})
		open = true
	}
	ag, warnings, err := agent.Parse(file, data)
	for _, w := range warnings {
		add(w)
	}
	if bad, ok := errors.AsType[*agent.NotAgentError](err); ok {
		add(bad.Warning())
		open = true
	} else if err != nil {
		add(agent.Warning{File: file, Message: err.Error()})
		open = true
	}
	if ag == nil {
		return found, open
	}
	found = append(found, models(ag, &opts)...)
	wrong, bad := tools(ag, data, &opts)
	return append(found, wrong...), open || bad
}

// models returns what is wrong with the models that an agent names.
func models(ag *agent.Agent, opts *Options) []Finding {
	var found []Finding
	prices := llm.Prices()
	for _, name := range []string{ag.Model, ag.ModelFloor, ag.ModelCeiling} {
		if name == "" || name == "auto" {
			continue
		}
		id, retired := prices.Resolve(name)
		if retired != "" {
			found = append(found, Finding{File: ag.Source, Message: retired, Hint: "write " + id})
		} else if _, known := prices.Info(id); !known {
			found = append(found, Finding{File: ag.Source, Message: fmt.Sprintf("unknown model %q", name), Hint: opts.advice(UnknownModel)})
		}
	}
	return found
}

// lineOf returns the line of the frontmatter in which a key has an entry; that of the key
// if the entry is written otherwise; 0 if there is no such key.
func lineOf(data []byte, key, entry string) int {
	in, at := false, 0
	for n, line := range strings.Split(string(data), "\n") {
		switch trimmed := strings.TrimRight(line, "\r"); {
		case n > 0 && trimmed == "---":
			return at
		case trimmed != "" && !strings.ContainsAny(trimmed[:1], " \t-#"):
			name, _, _ := strings.Cut(trimmed, ":")
			in = strings.TrimSpace(name) == key
			if in {
				at = n + 1
			}
		}
		if in && holds(line, entry) {
			return n + 1
		}
	}
	return at
}

// holds reports whether a line has an entry of a list, not as a part of another.
func holds(line, entry string) bool {
	for from := 0; ; {
		i := strings.Index(line[from:], entry)
		if i < 0 || entry == "" {
			return false
		}
		i += from
		end := i + len(entry)
		if (i == 0 || !partOfName(line[i-1])) && (end == len(line) || !partOfName(line[end]) && line[end] != '(') {
			return true
		}
		from = i + 1
	}
}

func partOfName(c byte) bool {
	return c == '_' || c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// MaxFile bounds the size of an agent file, in bytes.
const MaxFile = 1 << 20

func readAgentFile(file string) ([]byte, error) {
	data, err := openfile.ReadTyped(file, MaxFile)
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	return data, err
}

// Distinct returns findings, each once.
func Distinct(findings []Finding) []Finding {
	list := []Finding{}
	for _, f := range findings {
		if !slices.Contains(list, f) {
			list = append(list, f)
		}
	}
	return list
}
