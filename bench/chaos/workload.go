//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// workload is a workflow file that was never run before.
type workload struct {
	dir   string // its folder
	file  string // in dir
	needs map[string][]string
	first string // the unit of a step that others may depend on
}

// step is one of a workflow file, as far as it is needed here.
type step struct {
	ID           string   `json:"id"`
	Agent        string   `json:"agent"`
	Task         string   `json:"task"`
	Files        []string `json:"files,omitempty"`
	Dependencies []string `json:"dependencies,omitempty"`
	Foreach      string   `json:"foreach,omitempty"`
	MaxParallel  int      `json:"max_parallel,omitempty"`
}

var agents = []string{"python-expert", "code-reviewer", "linter", "security-specialist", "doc-writer"}

// newGraph writes a random graph of steps. Some name the results of others in
// their tasks, the rest are given them.
func newGraph(dir, name string, steps int, rng *rand.Rand) (*workload, error) {
	w := &workload{dir: dir, file: "graph.json", needs: map[string][]string{}}
	list := make([]step, steps)
	for i := range list {
		s := step{ID: fmt.Sprintf("s%d", i), Agent: agents[rng.IntN(len(agents))]}
		task := fmt.Sprintf("%s%s/%s] Say what number %d is good for.", marker, name, s.ID, rng.IntN(1_000_000))
		var said []string
		for range min(i, rng.IntN(4)) {
			d := list[max(0, i-1-rng.IntN(10))].ID
			if strings.Contains(strings.Join(append(s.Dependencies, ""), " "), d+" ") {
				continue
			}
			s.Dependencies = append(s.Dependencies, d)
			if rng.IntN(2) == 0 {
				said = append(said, fmt.Sprintf(" It was said: ${{ steps.%s.output }}", d))
			}
		}
		s.Task = task + strings.Join(said, "")
		list[i] = s
		for _, d := range s.Dependencies {
			w.needs[name+"/"+s.ID] = append(w.needs[name+"/"+s.ID], name+"/"+d)
		}
	}
	w.first = name + "/" + list[rng.IntN(len(list))].ID
	return w, w.write(name, 1+rng.IntN(8), list)
}

// newFolder writes a workflow that asks for each of many files.
func newFolder(dir, name string, files int) (*workload, error) {
	w := &workload{dir: dir, file: "folder.json", needs: map[string][]string{}}
	if err := os.MkdirAll(filepath.Join(dir, "src"), 0o700); err != nil {
		return nil, fmt.Errorf("making a folder: %w", err)
	}
	for i := range files {
		text := fmt.Sprintf("package src\n\n// N%d is a number.\nconst N%d = %d\n", i, i, i)
		if err := os.WriteFile(filepath.Join(dir, "src", fmt.Sprintf("n%d.go", i)), []byte(text), 0o600); err != nil {
			return nil, fmt.Errorf("writing a file: %w", err)
		}
	}
	return w, w.write(name, 50, []step{{
		ID: "each", Agent: "linter", Task: marker + "${{ item }}] Check it.", Files: []string{"${{ item }}"},
		Foreach: "src/*.go", MaxParallel: 50,
	}})
}

func (w *workload) write(name string, parallel int, steps []step) error {
	data, err := json.MarshalIndent(struct {
		Name        string `json:"name"`
		MaxParallel int    `json:"max_parallel"`
		Steps       []step `json:"steps"`
	}{name, parallel, steps}, "", "  ")
	if err == nil {
		err = os.MkdirAll(w.dir, 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(w.dir, w.file), data, 0o600)
	}
	if err != nil {
		return fmt.Errorf("writing a workflow: %w", err)
	}
	return nil
}

// unitOf returns the unit that a task belongs to, which it begins with.
func unitOf(task string) (string, bool) {
	rest, found := strings.CutPrefix(task, marker)
	unit, _, ended := strings.Cut(rest, "]")
	return unit, found && ended
}

// askedFor returns the unit that a request belongs to: that of the one text that is
// a task, or begins with one. Results of others are in texts of their own.
func askedFor(body []byte) (string, error) {
	var req struct {
		Messages []struct {
			Content []struct {
				Text string `json:"text"`
			} `json:"content"`
		} `json:"messages"`
	}
	if err := json.Unmarshal(body, &req); err != nil {
		return "", fmt.Errorf("reading a request: %w", err)
	}
	for _, m := range req.Messages {
		for _, block := range m.Content {
			if unit, ok := unitOf(block.Text); ok {
				return unit, nil
			}
		}
	}
	return "", fmt.Errorf("a request belongs to no unit: %s", body)
}
