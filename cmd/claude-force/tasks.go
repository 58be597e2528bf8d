package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strconv"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/internal/jsontext"
	"github.com/claude-force/claude-force/internal/openfile"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/workflow"
)

// maxTaskLine bounds a line of a task file, in bytes: a task is at most what a
// model can read.
const maxTaskLine = 16 << 20

// taskList is a list of tasks that is read as it is needed. A file is read
// twice: once to find everything wrong with it before anything is spent, once
// to work on it. The standard input can be read once only; what is wrong with
// it ends the list, and tasks that were started finish.
type taskList struct {
	name   string
	given  []claudeforce.Task        // from flags
	agent  string                    // of lines that name none; empty if they must
	reader io.ReadCloser             // what can be read once only; nil for a file
	count  int                       // as far as known before it is read
	err    error                     // why the list ended early
	failed error                     // a task that cannot be done
	read   map[string]*workflow.Step // settings of lines that were read
}

// openTasks returns the list in a file. A pipe, such as a shell's <(command), can be
// read only once, like the standard input.
func openTasks(path string) (*taskList, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, inputError{fmt.Errorf("reading tasks: %w", err)}
	}
	list := &taskList{name: path}
	if !info.Mode().IsRegular() && !info.IsDir() {
		if list.reader, err = openfile.Typed(path); err != nil {
			return nil, inputError{fmt.Errorf("reading tasks: %w", err)}
		}
	}
	return list, nil
}

// taskLine is one line of a task file.
type taskLine struct {
	ID    id       `json:"id"`
	Agent string   `json:"agent"`
	Task  string   `json:"task"`
	Model string   `json:"model"`
	Files []string `json:"files"`

	// Settings of a step of a workflow, which reads them.
	Schema      json.RawMessage `json:"schema"`
	MaxTokens   json.RawMessage `json:"max_tokens"`
	MaxTurns    json.RawMessage `json:"max_turns"`
	Timeout     json.RawMessage `json:"timeout"`
	Effort      json.RawMessage `json:"effort"`
	Temperature json.RawMessage `json:"temperature"`
	Allow       json.RawMessage `json:"allow"`
	Reads       json.RawMessage `json:"reads"`
	Thinking    json.RawMessage `json:"thinking"`
	Latency     json.RawMessage `json:"latency"`
	Runner      json.RawMessage `json:"runner"`
	Effects     json.RawMessage `json:"effects"`
	Isolation   json.RawMessage `json:"isolation"`
	Retries     json.RawMessage `json:"retries"`
	Budget      json.RawMessage `json:"budget"`
}

// settings returns the settings of a line as a step of a workflow with them, and nil if
// it has none.
func (t *taskLine) settings() ([]byte, error) {
	step := map[string]json.RawMessage{}
	for key, value := range map[string]json.RawMessage{
		"schema": t.Schema, "max_tokens": t.MaxTokens, "max_turns": t.MaxTurns, "timeout": t.Timeout, "effort": t.Effort,
		"temperature": t.Temperature, "allow": t.Allow, "reads": t.Reads, "thinking": t.Thinking, "latency": t.Latency, "runner": t.Runner,
		"effects": t.Effects, "isolation": t.Isolation, "retries": t.Retries, "budget": t.Budget,
	} {
		if value != nil && string(value) != "null" {
			step[key] = value
		}
	}
	if len(step) == 0 {
		return nil, nil
	}
	step["id"], step["agent"], step["task"] = json.RawMessage(`"task"`), json.RawMessage(`"agent"`), json.RawMessage(`"text"`)
	return json.Marshal(map[string]any{"steps": []any{step}})
}

// maxSettings bounds how many settings of a list are remembered.
const maxSettings = 1000

// apply sets the settings of a line on a task. They are read as those of a step, so that
// both mean the same.
func (l *taskList) apply(line *taskLine, t *claudeforce.Task) error {
	source, err := line.settings()
	if err != nil || source == nil {
		return err
	}
	s := l.read[string(source)]
	if s == nil {
		wf, err := workflow.Parse("", source, workflow.Options{})
		if errs, ok := errors.AsType[workflow.Errors](err); ok {
			text := errs[0].Message // its position is of a file that no one wrote
			if errs[0].Hint != "" {
				text += " (" + errs[0].Hint + ")"
			}
			return errors.New(text)
		}
		if err != nil {
			return err
		}
		if len(l.read) >= maxSettings || l.read == nil {
			l.read = map[string]*workflow.Step{}
		}
		s = wf.Steps[0]
		l.read[string(source)] = s
	}
	t.Schema, t.MaxTokens, t.MaxTurns, t.Timeout, t.Effort, t.Temperature = s.Schema, s.MaxTokens, s.MaxTurns, s.Timeout, s.Effort, s.Temperature
	t.Allow, t.Reads, t.Isolation, t.Runner = s.Allow, s.CommandReads, string(s.Isolation), string(s.Runner)
	t.Thinking, t.Batch = claudeforce.ThinkingOf(s), s.Latency == workflow.LatencyBatch
	if s.Effects == workflow.EffectsIdempotent || s.Effects == workflow.EffectsOnce {
		t.Policy = llm.PolicyOff // a remembered answer would have no effects
	}
	t.NoRetry = s.Effects == workflow.EffectsOnce
	return nil
}

// ofRuns names the settings of a line that only a run can follow; empty if it has none.
func (t *taskLine) ofRuns() string {
	for _, s := range []struct {
		name  string
		value json.RawMessage
	}{{"retries", t.Retries}, {"budget", t.Budget}} {
		if s.value != nil && string(s.value) != "null" {
			return s.name
		}
	}
	return ""
}

// settingsOf returns the settings of a task for a run of many, with those of its line.
func settingsOf(t claudeforce.Task, line *taskLine) runs.TaskSettings {
	s := runs.TaskSettings{
		Schema: t.Schema, MaxTokens: t.MaxTokens, MaxTurns: t.MaxTurns, Effort: t.Effort, Temperature: t.Temperature,
		Allow: t.Allow, Reads: t.Reads, Isolation: t.Isolation,
		Thinking: line.Thinking, Latency: line.Latency, Runner: line.Runner, Effects: line.Effects, Retries: line.Retries, Budget: line.Budget,
	}
	if t.Timeout > 0 {
		s.Timeout = t.Timeout.String()
	}
	return s
}

// id is a string, or a number as programs write them.
type id string

func (i *id) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] != '"' {
		var n json.Number
		if err := json.Unmarshal(data, &n); err != nil {
			return errors.New("id must be a text or a number")
		}
		*i = id(n)
		return nil
	}
	return json.Unmarshal(data, (*string)(i))
}

func (l *taskList) closer() io.Closer {
	if l.reader == nil {
		return nil
	}
	return l.reader
}

// tasks yields the tasks. What ends the list early is in l.err afterwards.
func (l *taskList) tasks() iter.Seq[claudeforce.Task] {
	return func(yield func(claudeforce.Task) bool) {
		l.err = l.each(func(_ int, t claudeforce.Task, line *taskLine) bool {
			if name := line.ofRuns(); name != "" {
				l.failed = fmt.Errorf("task %s has %s, which needs a run: put at most %d tasks into a file, and run that", t.ID, name, maxKept)
				return false
			}
			return yield(t)
		})
		if l.failed != nil {
			l.err = inputError{fmt.Errorf("%s: %w", l.name, l.failed)}
		}
	}
}

// each yields the tasks with their lines, whose numbers count from 1. The line of a task from a flag is empty.
func (l *taskList) each(yield func(number int, t claudeforce.Task, line *taskLine) bool) error {
	for i, t := range l.given {
		if !yield(i+1, t, &taskLine{}) {
			return nil
		}
	}
	if l.given != nil {
		return nil
	}
	r := l.reader
	if r == nil {
		f, err := openfile.Open(l.name)
		if err != nil {
			return inputError{fmt.Errorf("reading tasks: %w", err)}
		}
		defer f.Close()
		r = f
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), maxTaskLine)
	n := 0
	for lines.Scan() {
		n++
		line := bytes.TrimSpace(bytes.TrimPrefix(lines.Bytes(), []byte("\ufeff")))
		if len(line) == 0 {
			continue
		}
		task, read, err := l.parseTask(line)
		if err != nil {
			return badInput("%s:%d: %w", l.name, n, err)
		}
		if task.ID == "" {
			task.ID = strconv.Itoa(n)
		}
		if !yield(n, task, read) {
			return nil
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return badInput("%s:%d: the line is longer than %d MiB (give large inputs as files)", l.name, n+1, maxTaskLine>>20)
	case errors.Is(err, os.ErrClosed): // an interrupt
		return nil
	case err != nil:
		return fmt.Errorf("reading tasks: %w", err)
	}
	return nil
}

func (l *taskList) parseTask(line []byte) (claudeforce.Task, *taskLine, error) {
	const hint = ` (write {"agent": "python-expert", "task": "Explain lists"})`
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	var t taskLine
	if err := dec.Decode(&t); err != nil {
		_, err = jsontext.Explain(line, err)
		return claudeforce.Task{}, nil, fmt.Errorf("not a task: %w%s", err, hint)
	}
	if dec.More() {
		return claudeforce.Task{}, nil, errors.New("more than one JSON value on the line" + hint)
	}
	if _, err := jsontext.Parse(string(line), nil); err != nil { // what Go would read as something else
		return claudeforce.Task{}, nil, fmt.Errorf("not a task: %w%s", err, hint)
	}
	if t.Agent == "" {
		t.Agent = l.agent
	}
	switch {
	case t.Agent == "":
		return claudeforce.Task{}, nil, errors.New("the task names no agent" + hint)
	case t.Task == "":
		return claudeforce.Task{}, nil, errors.New("the task has no text" + hint)
	}
	task := claudeforce.Task{ID: string(t.ID), Agent: t.Agent, Prompt: t.Task, Model: t.Model, Files: t.Files}
	return task, &t, l.apply(&t, &task)
}

// check finds everything wrong with a list that can be read again, unknown
// agents among it.
func (l *taskList) check() error {
	if l.reader != nil {
		return nil
	}
	var errs []error
	const most = 20 // more than anyone reads
	agents := map[string]bool{}
	err := l.each(func(line int, t claudeforce.Task, _ *taskLine) bool {
		l.count++
		if agents[t.Agent] {
			return true
		}
		agents[t.Agent] = true
		if err := claudeforce.CheckAgent("", t.Agent); err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %w", l.name, line, err))
		}
		return len(errs) < most
	})
	if err != nil {
		errs = append(errs, err)
	}
	if l.count == 0 && len(errs) == 0 {
		errs = append(errs, fmt.Errorf("%s: there is no task in it", l.name))
	}
	if len(errs) > 0 {
		return inputError{errors.Join(errs...)}
	}
	return nil
}
