// Package agent finds and parses agent files.
//
// An agent is a Markdown file with YAML frontmatter, in the format of Claude
// Code's subagents: the frontmatter says who the agent is, the body is its
// system prompt. [Parse] reads one such file, [Discover] all that apply in a
// directory, [Find] one by its name while reading as little as possible, and
// [Fix] repairs frontmatter that is not valid YAML.
//
// # How a file is read
//
// Files are read as Claude Code reads them, so that a file which works there
// works here:
//
//   - The frontmatter is between a first line "---" and the next line "---".
//     A byte order mark is skipped, CRLF counts as LF.
//   - It is read as YAML. If it is not valid YAML (most often because of a
//     ": " in a description), every top-level line "key: value" whose unquoted
//     value contains one of the characters {}[]*&#!|>%@` or ": " is quoted, and
//     the frontmatter is parsed again. If that fails, the file is not an agent.
//   - A description's \n (backslash, n) is a line break.
//   - Unknown keys are kept in [Agent.Extra] and otherwise ignored.
//   - A file with frontmatter that lacks a name or a description is not an
//     agent.
//
// Unlike in Claude Code, a file without frontmatter is an agent: it is named after
// its file, and its description is its first heading or first sentence. The keys
// max_tokens, cache, cache_ttl, model_floor, model_ceiling, runner and prompt_mode, which Claude Code
// does not know, set the fields of the same names.
//
// An optional value that is invalid is ignored, with a [Warning].
package agent

import (
	"fmt"
	"strings"
	"time"
)

// BuiltinSource is the [Agent.Source] of the agents that come with the
// program.
const BuiltinSource = "builtin"

// Agent is one agent definition. Values returned by this package are shared;
// treat them as read-only.
type Agent struct {
	Name        string // never empty
	Description string // when to use it; never empty in a file
	Prompt      string // the system prompt, LF line ends, no surrounding white space; may be empty
	Model       string // an alias or a full id; empty to inherit the caller's
	// ModelFloor and ModelCeiling bound the choice if the model is "auto"; empty
	// for the caller's own bounds.
	ModelFloor, ModelCeiling string

	Effort string // low, medium, high, xhigh or max; empty for the model's default

	// Tools are the tools the agent may use, in the file's order. AllTools means
	// all tools: the file names no tools, or "*". Then Tools has no meaning.
	Tools    []string
	AllTools bool
	// DisallowedTools are removed from Tools, or from all tools.
	DisallowedTools []string

	// PermissionMode is the mode that the agent asks for, as in its file; empty for
	// the caller's. Callers decide what they make of it.
	PermissionMode string

	// Runner is what has the conversation with the model: "builtin", "claude-code", or
	// empty for the caller's. AppendPrompt adds Prompt to the prompt that the runner
	// claude-code has of its own, instead of replacing it.
	Runner       string
	AppendPrompt bool

	MaxTurns  int           // most calls of the model for one task; 0 for the caller's default
	MaxTokens int           // most output tokens of one answer; 0 for the caller's default
	NoCache   bool          // answers are neither stored nor looked up
	CacheTTL  time.Duration // how long an answer is kept; 0 for the caller's default

	Source string // the file's path as given, or BuiltinSource; empty for an agent defined in code

	// Extra holds every key without a field above, decoded from YAML; nil if there
	// are none.
	Extra map[string]any
}

// Warning is a problem in a file that is not an error.
type Warning struct {
	File    string // path as given or found; may be empty
	Line    int    // 1-based; 0 if the problem is not in one line
	Message string // what is wrong
	Hint    string // what to do about it; may be empty
}

// String returns "file:line: message (hint)", without the parts that are missing.
func (w Warning) String() string {
	var b strings.Builder
	switch {
	case w.File != "" && w.Line > 0:
		fmt.Fprintf(&b, "%s:%d: ", w.File, w.Line)
	case w.File != "":
		fmt.Fprintf(&b, "%s: ", w.File)
	case w.Line > 0:
		fmt.Fprintf(&b, "line %d: ", w.Line)
	}
	b.WriteString(w.Message)
	if w.Hint != "" {
		fmt.Fprintf(&b, " (%s)", w.Hint)
	}
	return b.String()
}

// NotAgentError says where and why a file is not an agent.
type NotAgentError Warning

// Error returns the text of [Warning.String].
func (e *NotAgentError) Error() string { return e.Warning().String() }

// Warning returns the error as a warning, for callers that skip the file.
func (e *NotAgentError) Warning() Warning { return Warning(*e) }

// UnknownError says that there is no agent with a name.
type UnknownError struct {
	Name       string   // the requested name
	Suggestion string   // the most similar known name; empty if none is similar
	Known      []string // all known names, sorted
}

func (e *UnknownError) Error() string {
	switch {
	case e.Suggestion != "":
		return fmt.Sprintf("there is no agent %q; did you mean %q?", e.Name, e.Suggestion)
	case len(e.Known) == 0:
		return fmt.Sprintf("there is no agent %q, nor any other agent; add one as .claude/agents/%s.md", e.Name, e.Name)
	}
	return fmt.Sprintf("there is no agent %q; known agents are %s", e.Name, strings.Join(e.Known, ", "))
}
