package cassette

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/claude-force/claude-force/internal/openfile"
	"github.com/claude-force/claude-force/llm"
)

// Player answers calls from a cassette. Create one with [Open]. It is safe for
// concurrent use.
type Player struct {
	dir      string
	manifest *manifest
	calls    []*recorded // in the order of their files
	byKey    map[llm.Key][]*recorded
	tools    toolRecords

	mu     sync.Mutex      // guards the fields below, and played of each call
	counts map[llm.Key]int // calls so far
	missed int             // calls, of models and of tools, that are not in the cassette
}

// recorded is one call of the cassette.
type recorded struct {
	file    string // within calls/
	agent   string
	tool    string // that made the call
	nth     int
	request storedRequest
	resp    *llm.Response // nil if the call failed
	err     *llm.Error

	played bool
}

// Open loads the whole cassette in dir. An error names the missing or damaged
// file, and its line where that is known.
func Open(dir string) (*Player, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("opening a cassette: %w", err)
	}
	p, err := open(root)
	return p, errors.Join(err, root.Close())
}

func open(root *os.Root) (*Player, error) {
	m, err := readManifest(root)
	if err != nil {
		return nil, err
	}
	names, err := numbered(root, callsDir)
	if err != nil {
		return nil, fmt.Errorf("opening a cassette: %w", err)
	}
	toolNames, err := numbered(root, toolsDir)
	if err != nil {
		return nil, fmt.Errorf("opening a cassette: %w", err)
	}
	p := &Player{dir: root.Name(), manifest: m, byKey: map[llm.Key][]*recorded{}, counts: map[llm.Key]int{}}
	if err := p.checkFiles(root, names, toolNames); err != nil {
		return nil, err
	}
	if p.tools, err = readTools(root, toolNames); err != nil {
		return nil, err
	}
	for _, name := range names {
		c, err := readCall(root, name)
		if err != nil {
			return nil, err
		}
		p.calls = append(p.calls, c)
		p.byKey[c.request.key] = append(p.byKey[c.request.key], c)
	}
	for _, calls := range p.byKey {
		slices.SortStableFunc(calls, func(a, b *recorded) int { return a.nth - b.nth })
	}
	return p, nil
}

// checkFiles returns an error if a file of the manifest is missing.
func (p *Player) checkFiles(root *os.Root, calls, tools []string) error {
	for _, in := range []struct {
		dir          string
		there, named []string
	}{{callsDir, calls, p.manifest.Calls}, {toolsDir, tools, p.manifest.Tools}} {
		there := map[string]bool{}
		for _, name := range in.there {
			there[name] = true
		}
		for _, name := range in.named {
			if !there[name] {
				return fmt.Errorf("the cassette is incomplete: %s is missing; restore it, or record again", filepath.Join(p.dir, in.dir, name))
			}
		}
	}
	for _, name := range p.manifest.Files {
		if _, err := root.Stat(name); err != nil {
			return fmt.Errorf("the cassette is incomplete: %s is missing; restore it, or record again", filepath.Join(p.dir, filepath.FromSlash(name)))
		}
	}
	return nil
}

func readCall(root *os.Root, name string) (*recorded, error) {
	file := filepath.Join(root.Name(), callsDir, name)
	data, err := openfile.ReadIn(root, path.Join(callsDir, name), maxFile)
	if err != nil {
		return nil, fmt.Errorf("opening a cassette: %w", err)
	}
	c, err := parseCall(data)
	if err != nil {
		return nil, damaged(file, data, err)
	}
	c.file = name
	return c, nil
}

func parseCall(data []byte) (*recorded, error) {
	var f callFile
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, err
	}
	switch {
	case len(f.Request) == 0:
		return nil, errors.New("it has no request")
	case (len(f.Answer) == 0) == (f.Failure == nil):
		return nil, errors.New("it must have either an answer or a failure")
	}
	c := &recorded{agent: f.Agent, tool: f.Tool, nth: f.Nth}
	var err error
	if c.request, err = parseRequest(f.Request); err != nil {
		return nil, fmt.Errorf("its request: %w", dropOffset(err))
	}
	if f.Failure != nil {
		c.err, err = f.Failure.err()
	} else {
		c.resp, err = f.answer()
	}
	return c, dropOffset(err)
}

// dropOffset returns err without its offset, which is relative to a part of the
// file.
func dropOffset(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(err.Error())
}

// Meta returns the description of the recording.
func (p *Player) Meta() Meta {
	return Meta{Program: p.manifest.Program, Created: p.manifest.Created, Recorded: p.manifest.Recorded}
}

// Complete reports whether the recording was closed.
func (p *Player) Complete() bool { return p.manifest.Complete }

// Len returns the number of calls in the cassette.
func (p *Player) Len() int { return len(p.calls) }

// ReadFile returns the content of a file that [Recorder.WriteFile] wrote.
func (p *Player) ReadFile(name string) (data []byte, err error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(p.dir)
	if err != nil {
		return nil, fmt.Errorf("reading from a cassette: %w", err)
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	data, err = openfile.ReadIn(root, name, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the cassette in %s has no file %s: %w", p.dir, name, fs.ErrNotExist)
	}
	return data, err
}

// Missed returns how many calls were asked for that are not in the cassette.
func (p *Player) Missed() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.missed
}

// Unused returns the files of the calls that have not been replayed, in the
// order of the recording. Calls that a tool made are not among them, since a replay
// runs no tool.
func (p *Player) Unused() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var files []string
	for _, c := range p.calls {
		if !c.played && c.tool == "" {
			files = append(files, path.Join(callsDir, c.file))
		}
	}
	return files
}

// Model returns a model that answers from the cassette without delay, with
// source [llm.SourceReplay]. Recorded failures are returned as errors. A call
// that is not in the cassette fails with [llm.CodeInvalid]; the error lists its
// differences from the closest recorded call.
//
// All models of a player share its count of repeated calls.
func (p *Player) Model() llm.Model {
	return llm.ModelFunc(func(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
		return func(yield func(llm.Event, error) bool) {
			if ctx.Err() != nil {
				yield(llm.Event{}, llm.ContextError(ctx))
				return
			}
			resp, err := p.answer(req)
			if err != nil {
				llm.Fail(err)(yield)
				return
			}
			llm.Replay(resp)(yield)
		}
	})
}

// answer returns the recorded answer to req; the response belongs to the
// caller.
func (p *Player) answer(req *llm.Request) (*llm.Response, error) {
	stored, err := storeRequest(req)
	if err != nil {
		return nil, llm.NewError(llm.CodeInvalid, "the request cannot be looked up in the cassette: "+err.Error(), err)
	}
	c := p.next(stored.key)
	switch {
	case c == nil:
		p.mu.Lock()
		p.missed++
		p.mu.Unlock()
		return nil, llm.NewError(llm.CodeInvalid, p.notFound(req.Agent, stored.req), nil)
	case c.err != nil:
		failed := *c.err
		return nil, &failed
	}
	return c.resp.Clone(), nil
}

// next counts a call and returns the recorded call to replay for it, or nil if
// the cassette has none.
func (p *Player) next(key llm.Key) *recorded {
	calls := p.byKey[key]
	if len(calls) == 0 {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts[key]++
	// Find the first that was recorded for a later repetition.
	later, _ := slices.BinarySearchFunc(calls, p.counts[key]+1, func(c *recorded, nth int) int { return c.nth - nth })
	found := calls[max(later-1, 0)]
	found.played = true
	return found
}

// maxDiffs is the largest number of differences that an error lists.
const maxDiffs = 5

// notFound returns the message for a call that is not in the cassette.
func (p *Player) notFound(agent string, req *llm.Request) string {
	name := "the call"
	if agent != "" {
		name = "the call of agent " + agent
	}
	closest := p.closest(agent, req)
	if closest == nil {
		return fmt.Sprintf("%s is not in the cassette in %s, which holds no calls; record again", name, p.dir)
	}
	diff := llm.Diff(req, closest.request.req)
	if n := len(diff) - maxDiffs; n > 0 {
		diff = append(diff[:maxDiffs], fmt.Sprintf("and %d more", n))
	}
	return fmt.Sprintf("%s is not in the cassette in %s; it differs from the closest one, %s, in: %s; undo the change, or record again",
		name, p.dir, path.Join(callsDir, closest.file), strings.Join(diff, "; "))
}

// closest returns the recorded call most similar to req: one of the same agent
// if possible, then the one with the most equal fields.
func (p *Player) closest(agent string, req *llm.Request) *recorded {
	var best *recorded
	bestAgent, bestEqual := false, -1
	for _, c := range p.calls {
		sameAgent, equal := c.agent == agent, equalParts(req, c.request.req)
		if sameAgent == bestAgent && equal > bestEqual || sameAgent && !bestAgent {
			best, bestAgent, bestEqual = c, sameAgent, equal
		}
	}
	return best
}

func equalParts(a, b *llm.Request) int {
	x, _ := llm.Fields(a) // no error: both have keys
	y, _ := llm.Fields(b)
	known := map[llm.Field]bool{}
	for _, f := range x {
		known[f] = true
	}
	n := 0
	for _, f := range y {
		if known[f] {
			n++
		}
	}
	return n
}
