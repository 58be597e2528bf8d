//go:build unix

package child

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Program is the claude-force of a benchmark that kills it and resumes its run, with a
// home of its own.
type Program struct {
	Binary string
	Home   string   // folder with its data
	Dir    string   // the current folder, which is the project
	URL    string   // of the service
	Env    []string // variables beside those of the fields above
}

// Command returns a run of the program.
func (p *Program) Command(ctx context.Context, args ...string) *exec.Cmd {
	return Command(ctx, p.Dir, append([]string{
		"HOME=" + p.Home, "XDG_DATA_HOME=", "XDG_CONFIG_HOME=", "XDG_CACHE_HOME=", "CLAUDE_FORCE_HOME=" + filepath.Join(p.Home, "data"),
		"ANTHROPIC_BASE_URL=" + p.URL, "ANTHROPIC_API_KEY=key", "ANTHROPIC_AUTH_TOKEN=",
	}, p.Env...), p.Binary, args...)
}

// Read runs a command and decodes the JSON that it prints into v, unless that is nil.
func (p *Program) Read(ctx context.Context, v any, args ...string) error {
	cmd := p.Command(ctx, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err == nil && v != nil {
		err = json.Unmarshal(out, v)
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return nil
}

// RunAndKill runs a command and kills it after a time, or waits for its end if that is
// negative. It reports whether the command was killed before it had ended.
func (p *Program) RunAndKill(ctx context.Context, after time.Duration, args ...string) (killed bool, err error) {
	cmd := p.Command(ctx, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		return false, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // waited for below
	if after >= 0 {
		select {
		case err = <-ended:
			ended <- err
		case <-time.After(after):
			_ = Kill(cmd) // it may just have ended
		}
	}
	if err = <-ended; after >= 0 && err != nil && Killed(cmd) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return false, nil
}

// ErrLost says that the list of runs is not as it must be.
var ErrLost = errors.New("a run is lost")

// FindRun returns the id and the status of the run that a benchmark has, whose id is
// empty before it is known. unstarted is how many processes died before they had started a
// run, and acted reports whether one has done something for it. The id is empty if no
// run has started. An error that is [ErrLost] says that there should be one.
func (p *Program) FindRun(ctx context.Context, id string, unstarted int, acted bool) (found, status string, err error) {
	var list []struct {
		ID     string `json:"run_id"`
		Status string `json:"status"`
	}
	if err := p.Read(ctx, &list, "runs", "list", "--json"); err != nil {
		return "", "", err
	}
	if id == "" && len(list) == 0 && !acted {
		return "", "", nil
	}
	// A process that dies while its run is made durable may leave one that is seen
	// only later. Nothing was done for it.
	if len(list) == 0 || len(list) > 1+unstarted {
		return "", "", fmt.Errorf("there are %d runs: %w", len(list), ErrLost)
	}
	if id == "" {
		id = list[0].ID
	}
	for _, run := range list {
		if run.ID == id {
			return id, run.Status, nil
		}
	}
	return "", "", fmt.Errorf("run %s is not listed: %w", id, ErrLost)
}
