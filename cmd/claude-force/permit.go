package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"github.com/claude-force/claude-force/internal/terminal"
	"github.com/claude-force/claude-force/task"
	"github.com/claude-force/claude-force/tool/permission"
)

// maxShown bounds, in bytes, the input of a call in a question. Who does not see all
// of it cannot allow it.
const maxShown = 8 << 10

// permit returns how the user is asked about calls of tools that no rule decides; nil
// if there is no user to ask.
func (a *app) permit() permission.Asker {
	if !a.canAsk() {
		return nil
	}
	var mu sync.Mutex
	always := map[string]bool{} // calls that are allowed for this run, exactly these
	return func(ctx context.Context, q permission.Question) (bool, error) {
		name, input, reason := q.Tool, q.Input, q.Reason
		key := name + "\x00" + string(input)
		mu.Lock()
		known := always[key]
		mu.Unlock()
		if known {
			return true, nil
		}
		shown := showCall(name, input)
		if len(shown) > maxShown {
			a.say("note: a call of %s is refused, since it is too long to be shown; a rule can allow it", terminal.Line(name))
			return false, nil
		}
		line, err := a.ask(ctx, fmt.Sprintf("\nAn agent wants to call\n%s\n%s\nAllow it? y: yes, a: always in this run, anything else: no [no] ", shown, reason))
		if err != nil {
			return false, fmt.Errorf("%s No one answered", reason)
		}
		if strings.EqualFold(line, "a") || strings.EqualFold(line, "always") {
			mu.Lock()
			always[key] = true
			mu.Unlock()
			return true, nil
		}
		return isYes(line), nil
	}
}

// showCall returns a call as a question shows it: the whole input, safe for the
// terminal, in which no text can look like the rest of the question.
func showCall(name string, input json.RawMessage) string {
	var fields map[string]json.RawMessage
	if name == "Bash" && json.Unmarshal(input, &fields) == nil {
		var command string
		if json.Unmarshal(fields["command"], &command) == nil {
			delete(fields, "description") // the model's own words on it
			delete(fields, "command")
			text := "  Bash: " + indent(command)
			if len(fields) > 0 {
				rest, _ := json.Marshal(fields) // of what was decoded
				text += "\n  with " + indent(string(rest))
			}
			return text
		}
	}
	var pretty bytes.Buffer
	if json.Indent(&pretty, input, "", "  ") != nil {
		pretty.Reset()
		pretty.Write(input)
	}
	return "  " + terminal.Line(name) + ": " + indent(pretty.String())
}

// indent marks each further line of a text.
func indent(text string) string {
	lines := strings.Split(terminal.Clean(text), "\n")
	for i := range lines {
		lines[i] = terminal.Line(lines[i])
	}
	return strings.Join(lines, "\n  | ")
}

// toolLine returns one line on a call of a tool that starts or has ended.
func toolLine(ev task.ToolEvent) string {
	text := fmt.Sprintf("turn %d: %s", ev.Turn, terminal.Line(ev.Tool))
	if ev.Argument != "" {
		text += " " + terminal.Line(ev.Argument)
	}
	if ev.Done && ev.IsError {
		text += " (failed)"
	}
	return text
}
