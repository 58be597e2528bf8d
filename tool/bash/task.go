package bash

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/sandbox"
	"github.com/claude-force/claude-force/tool"
)

// task is a command that was started.
type task struct {
	id      string
	command string
	process *sandbox.Process
	output  output

	file    string // of a command in the background, whose end was not announced
	stopped bool   // by TaskStop

	done chan struct{} // closed after the following are set
	// result, err and dir are how and where the command ended.
	result sandbox.Result
	err    error
	dir    string
}

// output keeps what a command writes, in memory until it has a file.
type output struct {
	mu   sync.Mutex
	data []byte
	file *os.File
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.file != nil {
		return o.file.Write(p)
	}
	o.data = append(o.data, p...)
	return len(p), nil
}

// text returns what was written until now, or until the output got a file.
func (o *output) text() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return tool.ValidText(o.data)
}

// toFile writes the output to a file from here on, and what there was.
func (o *output) toFile(path string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.Write(o.data); err != nil {
		f.Close()
		return err
	}
	o.file = f
	return nil
}

// close closes the file.
func (o *output) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.file != nil {
		o.file.Close()
	}
}

// background lets a command go on after its call.
func (s *Shell) background(t *task) error {
	file := filepath.Join(s.folders.tasks(), t.id+".output")
	if err := t.output.toFile(file); err != nil {
		t.process.End()
		<-t.done
		return fmt.Errorf("storing the output of a command in the background: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t.file = file
	s.tasks[t.id] = t
	return nil
}

// Notice is the end of a command in the background.
type Notice struct {
	ID       string
	Command  string
	File     string // its output
	ExitCode int    // -1 if it was ended
	Status   string // completed, failed or stopped
}

// Finished returns the commands in the background that have ended and were not
// returned before, by ID.
func (s *Shell) Finished() []Notice {
	s.mu.Lock()
	defer s.mu.Unlock()
	var notices []Notice
	for id, t := range s.tasks {
		select {
		case <-t.done:
		default:
			continue
		}
		delete(s.tasks, id)
		n := Notice{ID: id, Command: t.command, File: t.file, ExitCode: t.result.ExitCode, Status: "completed"}
		switch {
		case t.stopped:
			n.Status = "stopped"
		case t.err != nil || n.ExitCode != 0:
			n.Status = "failed"
		}
		notices = append(notices, n)
	}
	slices.SortFunc(notices, func(a, b Notice) int { return strings.Compare(a.ID, b.ID) })
	return notices
}

// Wait waits until a command in the background has ended, or ctx. It reports
// false if none is left.
func (s *Shell) Wait(ctx context.Context) (bool, error) {
	s.mu.Lock()
	var running []*task
	for _, t := range s.tasks {
		running = append(running, t)
	}
	s.mu.Unlock()
	if len(running) == 0 {
		return false, nil
	}
	ended := make(chan struct{}, len(running))
	for _, t := range running {
		go func() {
			select {
			case <-t.done:
			case <-ctx.Done():
			}
			ended <- struct{}{}
		}()
	}
	<-ended
	return true, ctx.Err()
}

type stopTool struct{ shell *Shell }

func (stopTool) Definition() llm.Tool {
	return llm.Tool{
		Name:        "TaskStop",
		Description: "Ends a command that runs in the background, and all that it started.",
		InputSchema: json.RawMessage(`{"type":"object","properties":{` +
			`"task_id":{"type":"string","description":"The ID that Bash returned"},` +
			`"shell_id":{"type":"string","description":"The same, by its former name"}` +
			`},"additionalProperties":false}`),
	}
}

func (stopTool) Concurrent(json.RawMessage) bool { return false }

func (st stopTool) Call(_ context.Context, _ *tool.Env, input json.RawMessage) (tool.Result, error) {
	var in struct {
		Task  string `json:"task_id"`
		Shell string `json:"shell_id"`
	}
	if err := json.Unmarshal(input, &in); err != nil {
		return tool.Result{}, fmt.Errorf("reading the input: %w", err)
	}
	id := in.Task
	if id == "" {
		id = in.Shell
	}
	if id == "" {
		return tool.Result{}, errors.New("task_id is missing")
	}
	s := st.shell
	s.mu.Lock()
	t := s.tasks[id]
	runs := false
	if t != nil {
		select {
		case <-t.done:
		default:
			t.stopped, runs = true, true
		}
	}
	s.mu.Unlock()
	if t == nil && s.options.Stop != nil {
		if text, ok := s.options.Stop(id); ok {
			return tool.Text(text), nil
		}
	}
	if t == nil {
		return tool.Failed("No command with ID " + id + " runs in the background."), nil
	}
	if !runs {
		return tool.Failed(fmt.Sprintf("The command with ID %s has ended. Its output is in %s.", id, t.file)), nil
	}
	t.process.End()
	<-t.done
	return tool.Text(fmt.Sprintf("The command with ID %s was ended. Its output is in %s.", id, t.file)), nil
}
