//go:build unix

package claudeforce_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/claude-force/claude-force/internal/oslimit"
	"github.com/claude-force/claude-force/internal/processtest"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/memory"
	"github.com/claude-force/claude-force/skill"
	"github.com/claude-force/claude-force/tool"
)

func init() { processJobs["few files"] = fewFilesJob }

// fewFilesJob reads what a project tells agents, and searches in it, with ever more
// files that may be open. What it gets must be whole, or an error that says so.
func fewFilesJob(args []string) error {
	project, home := filepath.Join(args[0], "project"), filepath.Join(args[0], "home")
	for name, text := range map[string]string{
		"project/.git/HEAD": "", "project/CLAUDE.md": "Rules, and @more.md", "project/more.md": "More.", "project/.claude/rules/r.md": "A rule.",
		"project/.claude/skills/s/SKILL.md": "---\nname: s\ndescription: does s\n---\nDo s.\n", "project/.claude/commands/deep/c.md": "Do c.",
		"project/src/deep/a.go": "needle", "project/src/b.go": "needle", "project/src/.gitignore": "c.go", "project/src/c.go": "needle",
		"home/.claude/CLAUDE.md": "Mine.", "home/.claude/commands/own.md": "Do mine.",
	} {
		path := filepath.Join(args[0], name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			return err
		}
	}
	env, err := tool.NewEnv(project, tool.Options{})
	if err != nil {
		return err
	}
	defer env.Close()
	search, err := tool.NewSet(tool.Glob(), tool.Grep())
	if err != nil {
		return err
	}
	run := func(name, input string) func() (any, error) {
		return func() (any, error) {
			result := search.Call(context.Background(), env, llm.Block{Type: llm.BlockToolUse, ID: "id", Name: name, Input: json.RawMessage(input)})
			if result.IsError && strings.Contains(result.Text, "too many open files") {
				return nil, fmt.Errorf("%s: %w", result.Text, syscall.EMFILE)
			}
			return result.Text, nil
		}
	}
	reads := map[string]func() (any, error){
		"memory": func() (any, error) { return memory.Load(memory.Options{Dir: project, Home: home}) },
		"skills": func() (any, error) { return skill.Discover(skill.Options{Dir: project, Home: home}) },
		"Glob":   run("Glob", `{"pattern":"src/**"}`),
		"Grep":   run("Grep", `{"pattern":"needle","path":"src"}`),
	}
	whole := map[string]any{}
	for name, read := range reads {
		if whole[name], err = read(); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	limit := syscall.Rlimit{Cur: 64, Max: 64}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	var held []*os.File
	for len(held) < 64 {
		f, err := os.Open(os.DevNull)
		if err != nil {
			break
		}
		held = append(held, f)
	}
	refused := map[string]int{}
	for free := 0; ; free++ {
		for name, read := range reads {
			switch got, err := read(); {
			case err != nil && (!oslimit.IsTooManyFiles(err) || len(held) == 0):
				return fmt.Errorf("%s with %d: %w", name, free, err)
			case err != nil:
				refused[name]++
			case !reflect.DeepEqual(got, whole[name]):
				return fmt.Errorf("with %d %s is %+v; want %+v", free, name, got, whole[name])
			}
		}
		if len(held) == 0 {
			break
		}
		if err := held[0].Close(); err != nil {
			return err
		}
		held = held[1:]
	}
	for name := range reads {
		if refused[name] == 0 {
			return fmt.Errorf("%s was refused nothing, so nothing was tested", name)
		}
		fmt.Println(name, "was refused", refused[name], "times")
	}
	return nil
}

// An agent must not miss its instructions since too many files were open.
func TestFewFilesLeaveNothingOut(t *testing.T) {
	t.Parallel()
	p := processtest.Start(t.Context(), "few files", t.TempDir())
	for line := range p.Lines() {
		t.Log(line)
	}
	if err := p.Wait(); err != nil {
		t.Error(err)
	}
}
