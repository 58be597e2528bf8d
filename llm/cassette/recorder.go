package cassette

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path"
	"slices"
	"sync"
	"time"

	"github.com/claude-force/claude-force/internal/credential"
	"github.com/claude-force/claude-force/internal/openfile"
	"github.com/claude-force/claude-force/llm"
)

// Options configures [Create]. The zero value is valid.
type Options struct {
	// Replace makes Create remove a cassette that the folder holds. Other files
	// stay.
	Replace bool
}

// Recorder writes a cassette. Create one with [Create], and close it. It is
// safe for concurrent use.
//
// A call never fails because it cannot be recorded; [Recorder.Close] reports
// the first such error.
type Recorder struct {
	mu       sync.Mutex // guards the fields below, and the folder
	root     *os.Root
	manifest manifest
	calls    map[llm.Key]*history
	tools    map[toolKey]*history
	number   int // number of the last call's file
	err      error
	closed   bool
}

// Create starts a cassette in dir, which must be new or empty unless
// [Options.Replace] is set. It returns [ErrExists] if dir holds a cassette.
func Create(dir string, meta Meta, opts Options) (*Recorder, error) {
	recorded, err := redactMeta(meta.Recorded)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("creating a cassette: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("creating a cassette: %w", err)
	}
	if meta.Created.IsZero() {
		meta.Created = time.Now()
	}
	r := &Recorder{root: root, calls: map[llm.Key]*history{}, tools: map[toolKey]*history{}, manifest: manifest{
		Format: plainVersion, Program: credential.Redact(meta.Program), Created: meta.Created.UTC().Truncate(time.Second), Recorded: recorded,
	}}
	if err := r.prepare(opts); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return r, nil
}

// prepare prepares the folder.
func (r *Recorder) prepare(opts Options) error {
	dir := r.root.Name()
	entries, err := fs.ReadDir(r.root.FS(), ".")
	if err != nil {
		return fmt.Errorf("creating a cassette: %w", err)
	}
	if len(entries) > 0 {
		switch _, err := r.root.Stat(manifestName); {
		case err != nil:
			return fmt.Errorf("%s is not empty and does not hold a cassette: name a new or empty folder", dir)
		case !opts.Replace:
			return fmt.Errorf("%s: %w: name another folder, or replace it", dir, ErrExists)
		}
		if err := clearCassette(r.root); err != nil {
			return fmt.Errorf("replacing the cassette in %s: %w", dir, err)
		}
	}
	for _, dir := range []string{callsDir, toolsDir} {
		if err := r.root.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("creating a cassette: %w", err)
		}
	}
	return r.writeManifest()
}

// clearCassette removes the files of a cassette.
func clearCassette(root *os.Root) error {
	var names []string
	for _, dir := range []string{callsDir, toolsDir} {
		in, err := numbered(root, dir)
		if err != nil {
			return err
		}
		for _, name := range in {
			names = append(names, path.Join(dir, name))
		}
	}
	// The other files of a cassette without a readable manifest are unknown;
	// they stay.
	if old, err := readManifest(root); err == nil {
		for _, name := range old.Files {
			if checkName(name) == nil {
				names = append(names, name)
			}
		}
	}
	for _, name := range append(names, manifestName) {
		if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// numbered returns the names of the files of a folder of calls or tools, in the
// order of their numbers.
func numbered(root *os.Root, dir string) ([]string, error) {
	entries, err := fs.ReadDir(root.FS(), dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if number(e.Name()) > 0 && path.Ext(e.Name()) == ".json" {
			names = append(names, e.Name())
		}
	}
	slices.SortStableFunc(names, func(a, b string) int { return number(a) - number(b) })
	return names, nil
}

// number returns the number that the name of a call's file starts with, or 0.
func number(name string) (n int) {
	for _, c := range []byte(name) {
		if c < '0' || c > '9' || n > 1<<30 {
			return n
		}
		n = 10*n + int(c-'0')
	}
	return n
}

// WriteFile writes another file of the recording, and replaces an existing one.
// The name is a path within the folder, with slashes; credentials in data are
// redacted.
func (r *Recorder) WriteFile(name string, data []byte) error {
	if err := checkName(name); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return fmt.Errorf("writing %s: the recording is closed", name)
	}
	if err := r.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return fmt.Errorf("recording: %w", err)
	}
	if err := r.write(name, redactFile(data)); err != nil {
		return err
	}
	if slices.Contains(r.manifest.Files, name) {
		return nil
	}
	r.manifest.Files = append(r.manifest.Files, name)
	slices.Sort(r.manifest.Files)
	return r.writeManifest()
}

// Close ends the recording. If a call could not be recorded, Close returns the
// reason and the cassette is marked incomplete. Calls that end later are not
// recorded.
func (r *Recorder) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	err := r.err
	if err == nil {
		r.manifest.Complete = true
		r.manifest.Calls, err = numbered(r.root, callsDir)
	}
	if err == nil {
		r.manifest.Tools, err = numbered(r.root, toolsDir)
	}
	if err == nil {
		err = r.writeManifest()
	}
	return errors.Join(err, r.root.Close())
}

func (r *Recorder) writeManifest() error {
	data, err := encode(r.manifest)
	if err != nil {
		return err
	}
	return r.write(manifestName, data)
}

// write creates or replaces a file atomically. The caller holds r.mu.
func (r *Recorder) write(name string, data []byte) error {
	tmp := path.Join(path.Dir(name), "."+path.Base(name)+".tmp")
	err := r.root.WriteFile(tmp, data, 0o644)
	if err == nil {
		err = r.root.Rename(tmp, name)
	}
	if err != nil {
		return fmt.Errorf("recording: %w", err)
	}
	return nil
}

// Layer returns a model that calls next and records the calls.
func (r *Recorder) Layer(next llm.Model) llm.Model {
	return llm.ModelFunc(func(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
		return func(yield func(llm.Event, error) bool) {
			c := r.startCall(ctx, req)
			// Deferred until after the last yield, so that the reader does not
			// wait for the disk, and an answer is recorded even if its reader
			// panics or stops at the end.
			defer func() { r.finishCall(c) }()
			for ev, err := range next.Stream(ctx, req) {
				c.see(ev, err)
				if !yield(ev, err) {
					return
				}
			}
			if c.resp == nil && c.err == nil {
				c.err = llm.ErrIncomplete
			}
		}
	})
}

// liveCall is one call while it is recorded.
type liveCall struct {
	agent   string
	tool    string // that makes the call
	request storedRequest
	unfit   error // why the request cannot be stored
	nth     int   // repetition of this call, from 1
	start   time.Time
	first   time.Duration // time until the first text

	resp *llm.Response
	err  error
}

func (r *Recorder) startCall(ctx context.Context, req *llm.Request) *liveCall {
	c := &liveCall{agent: req.Agent, tool: llm.TagsOf(ctx).Tool, start: time.Now()}
	if c.request, c.unfit = storeRequest(req); c.unfit != nil {
		return c
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.calls[c.request.key]
	if h == nil {
		h = &history{}
		r.calls[c.request.key] = h
	}
	h.started++
	c.nth = h.started
	return c
}

func (c *liveCall) see(ev llm.Event, err error) {
	switch {
	case err != nil:
		c.err = err
	case ev.Type == llm.EventDone:
		c.resp = ev.Response
	case c.first == 0 && (ev.Type == llm.EventText || ev.Type == llm.EventThinking || ev.Type == llm.EventToolInput):
		c.first = time.Since(c.start)
	}
}

// finishCall records the call unless it was canceled.
func (r *Recorder) finishCall(c *liveCall) {
	if c.resp == nil && (c.err == nil || c.unfit != nil || llm.CodeOf(c.err) == llm.CodeCanceled) {
		return
	}
	f := callFile{
		Agent: c.agent, Tool: c.tool, Nth: c.nth, Request: c.request.json,
		Timing: timing{time.Since(c.start).Seconds(), c.first.Seconds()},
	}
	outcome, err := f.setOutcome(c)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	if err == nil {
		err = r.calls[c.request.key].add(outcome, callFolder{r, c.request.key, f})
	}
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("the recording in %s is missing a call: %w", r.root.Name(), err)
	}
}

// setOutcome stores the call's answer or failure in its file.
func (f *callFile) setOutcome(c *liveCall) (*outcome, error) {
	o := &outcome{nth: c.nth, failed: c.resp == nil}
	if c.unfit != nil {
		return nil, c.unfit
	}
	if o.failed {
		f.Failure = newFailure(c.err)
	} else if err := f.setAnswer(c.resp); err != nil {
		return nil, err
	}
	data, err := encode([]any{f.Answer, f.ToolInputs, f.Failure})
	o.digest = sha256.Sum256(data)
	return o, err
}

// callFolder writes the files of one key's calls.
type callFolder struct {
	r    *Recorder
	key  llm.Key
	call callFile // the call that has just ended
}

// write writes the call that has just ended.
func (f callFolder) write() (name string, err error) { return f.put(f.call) }

// repeat writes a copy of the call in file name for its nth repetition.
func (f callFolder) repeat(name string, nth int) (string, error) {
	data, err := openfile.ReadIn(f.r.root, path.Join(callsDir, name), maxFile)
	if err != nil {
		return "", err
	}
	var call callFile
	if err := json.Unmarshal(data, &call); err != nil {
		return "", err
	}
	call.Nth = nth
	return f.put(call)
}

func (f callFolder) put(call callFile) (string, error) {
	data, err := encode(call)
	if err != nil {
		return "", err
	}
	f.r.number++
	name := callName(f.r.number, call.Agent, f.key)
	return name, f.r.write(path.Join(callsDir, name), data)
}

func (f callFolder) remove(name string) error { return f.r.root.Remove(path.Join(callsDir, name)) }
