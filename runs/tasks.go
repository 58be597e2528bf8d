package runs

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/claude-force/claude-force/engine"
)

// Task is one of a list of tasks that are run as one run.
type Task struct {
	ID     string   // how people call it
	Agent  string   // the agent's name
	Prompt string   // what it is asked
	Model  string   // instead of the agent's; empty for that
	Files  []string // patterns of files to give to the agent

	Settings TaskSettings
}

// TaskSettings are settings of a task that a step of a workflow has too, with the same
// meaning. The zero value sets nothing.
type TaskSettings struct {
	Schema      json.RawMessage `json:"schema,omitempty"`
	MaxTokens   int             `json:"max_tokens,omitempty"`
	MaxTurns    int             `json:"max_turns,omitempty"`
	Timeout     string          `json:"timeout,omitempty"` // such as 90s
	Effort      string          `json:"effort,omitempty"`
	Temperature *float64        `json:"temperature,omitempty"`
	Allow       []string        `json:"allow,omitzero"` // empty: nothing
	Reads       []string        `json:"reads,omitzero"`
	Isolation   string          `json:"isolation,omitempty"`

	// As they are written in a step.
	Thinking json.RawMessage `json:"thinking,omitempty"`
	Latency  json.RawMessage `json:"latency,omitempty"`
	Runner   json.RawMessage `json:"runner,omitempty"`
	Effects  json.RawMessage `json:"effects,omitempty"`
	Retries  json.RawMessage `json:"retries,omitempty"`
	Budget   json.RawMessage `json:"budget,omitempty"` // of this task
}

// listedTask is an item of a step that runs tasks.
type listedTask struct {
	Number int      `json:"number"` // in the list, from 0
	ID     string   `json:"id"`
	Task   string   `json:"task"`
	Files  []string `json:"files,omitempty"`
}

// taskStep is a step that runs tasks: those of one agent, model and settings with so
// many patterns of files, which a workflow has to name beforehand.
type taskStep struct {
	ID      string   `json:"id"`
	Agent   string   `json:"agent"`
	Model   string   `json:"model,omitempty"`
	Foreach string   `json:"foreach"`
	Task    string   `json:"task"`
	Files   []string `json:"files,omitempty"`
	TaskSettings
}

// TasksWorkflow returns the workflow that runs a list of tasks, and its
// parameters. What the tasks say is in the parameters, so that nothing of it is
// taken for an expression.
func TasksWorkflow(name string, tasks []Task) (source []byte, params map[string]string, err error) {
	type group struct {
		agent, model string
		settings     string // as JSON
		files        int
		number       int // of a task with a budget, from 1: that of a step is for all its items
	}
	type document struct {
		Name   string                       `json:"name"`
		Params map[string]map[string]string `json:"params"`
		Steps  []taskStep                   `json:"steps"`
	}
	printable := func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}
	doc := document{Name: strings.Map(printable, name), Params: map[string]map[string]string{}}
	steps, items := map[group]string{}, map[string][]listedTask{}
	for i, t := range tasks {
		settings, err := json.Marshal(t.Settings)
		if err != nil {
			return nil, nil, fmt.Errorf("writing the settings of task %s: %w", t.ID, err)
		}
		of := group{agent: t.Agent, model: t.Model, settings: string(settings), files: len(t.Files)}
		if t.Settings.Budget != nil {
			of.number = i + 1
		}
		id, ok := steps[of]
		if !ok {
			id = stepName(t.Agent, func(id string) bool { return items[id] != nil })
			steps[of] = id
			step := taskStep{ID: id, Agent: t.Agent, Model: t.Model, Foreach: "${{ params." + id + " }}", Task: "${{ item.task }}", TaskSettings: t.Settings}
			for n := range t.Files {
				step.Files = append(step.Files, fmt.Sprintf("${{ item.files[%d] }}", n))
			}
			doc.Steps = append(doc.Steps, step)
			doc.Params[id] = map[string]string{"type": "array"}
		}
		items[id] = append(items[id], listedTask{Number: i, ID: t.ID, Task: t.Prompt, Files: t.Files})
	}
	params = make(map[string]string, len(items))
	for id, list := range items {
		data, err := json.Marshal(list)
		if err != nil {
			return nil, nil, fmt.Errorf("writing tasks: %w", err)
		}
		params[id] = string(data)
	}
	source, err = json.Marshal(doc)
	return source, params, err
}

// stepName returns the id of a step that runs tasks of an agent.
func stepName(agent string, taken func(id string) bool) string {
	id := []byte(agent)
	for i, c := range id {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c != '-' && c != '_' && (c < '0' || c > '9')) {
			id[i] = '-'
		}
	}
	if len(id) == 0 || id[0] == '-' || len(id) > 100 {
		id = []byte("tasks")
	}
	name := string(id)
	for n := 2; taken(name); n++ {
		name = string(id) + "-" + strconv.Itoa(n)
	}
	return name
}

// TaskRef names a task of a run.
type TaskRef struct {
	Number int // in the list, from 0
	ID     string
}

// TaskRefs are the tasks of a run by step, in the order of the step's items.
type TaskRefs map[string][]TaskRef

// TaskRefs returns the tasks of a run that was started with a list of them. It
// returns nil for the run of a workflow.
func (s *Spec) TaskRefs() (TaskRefs, error) {
	if !s.Tasks {
		return nil, nil
	}
	refs := make(TaskRefs, len(s.Params))
	for step, data := range s.Params {
		var list []listedTask
		if err := json.Unmarshal([]byte(data), &list); err != nil {
			return nil, fmt.Errorf("reading the tasks of a run: %w", err)
		}
		for _, t := range list {
			refs[step] = append(refs[step], TaskRef{Number: t.Number, ID: t.ID})
		}
	}
	return refs, nil
}

// Count returns how many tasks there are.
func (r TaskRefs) Count() int {
	n := 0
	for _, list := range r {
		n += len(list)
	}
	return n
}

// Of returns the task that an event of the run is about. It reports false for an
// event of a step as a whole.
func (r TaskRefs) Of(ev engine.Event) (TaskRef, bool) {
	list := r[ev.Path]
	if ev.Item == "" || ev.Index >= len(list) {
		return TaskRef{}, false
	}
	return list[ev.Index], true
}
