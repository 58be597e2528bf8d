package sim

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// marker matches a line of a task that asks for a tool call, such as
// "[simulate: call get_weather]". Prose that names a tool asks for none.
var marker = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?m)^[ \t]*\[simulate: call ([A-Za-z0-9_-]{1,128})\][ \t]*\r?$`)
})

// toolCalls returns the answer's tool calls: the forced tool, or the tools that
// markers of the task name. It returns no unforced call after results
// have arrived in the turn.
//
// A client executes the calls. So their arguments come from the tool's schema
// and never quote the prompt, except for paths in properties that take paths.
func (r *request) toolCalls(src *source) []content {
	if r.ToolChoice != nil && r.ToolChoice.Type == "none" {
		return nil
	}
	var calls []content
	call := func(t *tool) {
		if len(t.InputSchema) == 0 { // server tools are not simulated
			return
		}
		arguments := generate(t.InputSchema, generator{src: src, arguments: true, paths: r.paths()})
		calls = append(calls, content{Type: "tool_use", ID: src.id("toolu_", strconv.Itoa(len(calls))), Name: t.Name, Input: arguments})
	}
	named := func(name string) *tool {
		if i := slices.IndexFunc(r.Tools, func(t tool) bool { return t.Name == name }); i >= 0 {
			return &r.Tools[i]
		}
		return nil
	}
	if c := r.ToolChoice; c != nil && c.Type == "tool" {
		if t := named(c.Name); t != nil {
			call(t)
		}
		return calls
	}
	if len(r.results()) == 0 {
		for _, m := range marker().FindAllStringSubmatch(r.prompt(), -1) {
			if t := named(m[1]); t != nil {
				call(t)
			}
		}
	}
	if r.forced() && len(calls) == 0 {
		if i := slices.IndexFunc(r.Tools, func(t tool) bool { return len(t.InputSchema) > 0 && !t.Deferred }); i >= 0 {
			call(&r.Tools[i])
		}
	}
	if r.ToolChoice != nil && r.ToolChoice.DisableParallel && len(calls) > 1 {
		calls = calls[:1]
	}
	return calls
}

// turn returns the messages of the current turn. A turn begins with the last
// user message that holds a task, and ends with the request. Tool results,
// reminders and system messages continue a turn.
func (r *request) turn() []message {
	for i := len(r.Messages) - 1; i > 0; i-- {
		if r.Messages[i].startsTurn() {
			return r.Messages[i:]
		}
	}
	return r.Messages
}

// startsTurn reports whether the message holds a task.
func (m *message) startsTurn() bool {
	if m.Role != "user" {
		return false
	}
	task := false
	for i := range m.Content {
		switch b := &m.Content[i]; b.Type {
		case "tool_result":
			return false
		case "text":
			task = task || strings.TrimSpace(stripSections(b.Text)) != ""
		}
	}
	return task
}

// turnText returns the text of the message that begins the turn, without
// labelled sections.
func (r *request) turnText() string {
	var parts []string
	m := &r.turn()[0]
	for i := range m.Content {
		if b := &m.Content[i]; b.Type == "text" {
			parts = append(parts, stripSections(b.Text))
		}
	}
	return strings.Join(parts, "\n")
}

// prompt returns the last text of the message that begins the turn, without
// labelled sections. What comes before it, such as the instructions of a project,
// is not the user's task.
func (r *request) prompt() string {
	for _, b := range slices.Backward(r.turn()[0].Content) {
		if b.Type != "text" {
			continue
		}
		if text := stripSections(b.Text); strings.TrimSpace(text) != "" {
			return text
		}
	}
	return ""
}

// results returns the tool results of the turn.
func (r *request) results() []string {
	var results []string
	for _, m := range r.turn() {
		for i := range m.Content {
			if b := &m.Content[i]; m.Role == "user" && b.Type == "tool_result" {
				results = append(results, b.text())
			}
		}
	}
	return results
}

// pathWord matches a word that is a plain path: with a folder or an extension,
// and without characters that a shell or another program could interpret.
var pathWord = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(?:\.{0,2}/)?(?:[A-Za-z0-9_][A-Za-z0-9._-]*/)*[A-Za-z0-9_][A-Za-z0-9_-]*\.[A-Za-z][A-Za-z0-9]{0,7}$`)
})

// paths returns the paths that the prompt names: those of its files, then those
// of the task.
func (r *request) paths() []string {
	var paths []string
	for _, f := range sections(r.userText(), "file", "path") {
		if pathWord().MatchString(f.name) {
			paths = append(paths, f.name)
		}
	}
	for word := range strings.FieldsSeq(r.turnText()) {
		word = strings.TrimRight(strings.Trim(word, "\"'`()[]<>"), "\"'`()[]<>,;:!?.")
		if pathWord().MatchString(word) {
			paths = append(paths, word)
		}
	}
	return paths
}

// isPathName reports whether a property of this name takes a path.
func isPathName(name string) bool {
	switch strings.ToLower(name) {
	case "path", "file", "filename", "file_path", "filepath", "file_name", "notebook_path":
		return true
	}
	return false
}
