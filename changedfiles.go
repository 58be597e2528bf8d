package claudeforce

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/cassette"
	"github.com/claude-force/claude-force/worktree"
)

// changesLimit is how long listing changed files may take.
const changesLimit = time.Minute

// changedFiles lists the files that have changed since a base, each list once, so that a run
// sees what was checked before it.
type changedFiles struct {
	o *Orchestrator

	mu    sync.Mutex
	known map[journal.ChangesSince][]string
}

// newChangedFiles returns the lists of a run, with those that its journal has; past may be nil.
func newChangedFiles(o *Orchestrator, past *journal.State) *changedFiles {
	c := &changedFiles{o: o, known: map[journal.ChangesSince][]string{}}
	if past != nil {
		for _, was := range past.Changes {
			c.known[was.ChangesSince] = was.Files
		}
	}
	return c
}

// in returns what lists changed files for expressions that are evaluated within ctx.
func (c *changedFiles) in(ctx context.Context) func(string, bool) ([]string, error) {
	return func(base string, uncommitted bool) ([]string, error) { return c.list(ctx, base, uncommitted) }
}

func (c *changedFiles) list(ctx context.Context, base string, uncommitted bool) ([]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	since := journal.ChangesSince{Base: base, Uncommitted: uncommitted}
	if files, ok := c.known[since]; ok {
		return files, nil
	}
	files, err := c.o.listChanged(ctx, since)
	if err == nil {
		c.known[since] = files
	}
	return files, err
}

// listChanged lists changed files by git, or as a recording has them.
func (o *Orchestrator) listChanged(ctx context.Context, since journal.ChangesSince) (files []string, err error) {
	if since.Base == "" {
		return nil, errors.New("the base is an empty text")
	}
	input := journal.Detail(since)
	call := cassette.ToolCall{Request: sha256.Sum256(input), Use: llm.Block{Type: llm.BlockToolUse, ID: "changed_files", Name: "changed_files", Input: input}}
	if o.opts.Replay != nil {
		was, err := o.opts.Replay.Tool(call)
		if err == nil && (len(was.Blocks) == 0 || json.Unmarshal([]byte(was.Blocks[0].Text), &files) != nil) {
			err = fmt.Errorf("the recording has no list of the files that changed since %q", since.Base)
		}
		return files, err
	}
	ctx, cancel := context.WithTimeout(ctx, changesLimit)
	defer cancel()
	repo, err := worktree.Find(ctx, cmp.Or(o.opts.Dir, "."))
	if err != nil {
		return nil, err
	}
	began := time.Now()
	end := func(cassette.ToolResult) {}
	if o.opts.Record != nil {
		end = o.opts.Record.StartTool(call)
	}
	if files, err = repo.ChangedFiles(ctx, since.Base, since.Uncommitted); err != nil {
		return nil, err
	}
	end(cassette.ToolResult{Blocks: []llm.Block{llm.ToolResult(call.Use.ID, string(journal.Detail(files)), false)}, Duration: time.Since(began)})
	return files, nil
}
