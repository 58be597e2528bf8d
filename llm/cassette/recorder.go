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
	"github.com/claude-force/claude-force/llm"
)

// Options are the settings of [Create]. The zero value is ready.
type Options struct {
	// Replace lets Create remove the cassette that the folder holds. Files
	// that are not of the cassette stay.
	Replace bool
}

// Recorder writes a cassette. Make one with [Create], and close it. It is safe
// for concurrent use.
//
// A call never fails because it cannot be recorded; [Recorder.Close] says what
// is missing.
type Recorder struct {
	mu       sync.Mutex // guards the fields below, and the folder
	root     *os.Root
	manifest manifest
	calls    map[llm.Key]*history
	number   int // of the last call's file
	err      error
	closed   bool
}

// Create begins a cassette in dir, which must be new or empty; see also
// [Options.Replace]. It returns [ErrExists] if a cassette is there.
func Create(dir string, meta Meta, opts Options) (*Recorder, error) {
	recorded, err := scrubMeta(meta.Recorded)
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
	r := &Recorder{root: root, calls: map[llm.Key]*history{}, manifest: manifest{
		Format: formatVersion, Program: credential.Redact(meta.Program), Created: meta.Created.UTC().Truncate(time.Second), Recorded: recorded,
	}}
	if err := r.begin(opts); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return r, nil
}

// begin makes the folder ready.
func (r *Recorder) begin(opts Options) error {
	dir := r.root.Name()
	entries, err := fs.ReadDir(r.root.FS(), ".")
	if err != nil {
		return fmt.Errorf("creating a cassette: %w", err)
	}
	if len(entries) > 0 {
		switch _, err := r.root.Stat(manifestName); {
		case err != nil:
			return fmt.Errorf("%s is not empty and holds no cassette: name a folder that is new or empty", dir)
		case !opts.Replace:
			return fmt.Errorf("%s: %w: name another folder, or have it replaced", dir, ErrExists)
		}
		if err := clearCassette(r.root); err != nil {
			return fmt.Errorf("replacing the cassette in %s: %w", dir, err)
		}
	}
	if err := r.root.MkdirAll(callsDir, 0o755); err != nil {
		return fmt.Errorf("creating a cassette: %w", err)
	}
	return r.writeManifest()
}

// clearCassette removes what a cassette consists of.
func clearCassette(root *os.Root) error {
	names, err := callNames(root)
	if err != nil {
		return err
	}
	for i, name := range names {
		names[i] = path.Join(callsDir, name)
	}
	// One that cannot be read has files that nobody knows of; they stay.
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

// callNames are the files of calls, in the order of their numbers.
func callNames(root *os.Root) ([]string, error) {
	entries, err := fs.ReadDir(root.FS(), callsDir)
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

// number is the number that the name of a call's file begins with, 0 if there
// is none.
func number(name string) (n int) {
	for _, c := range []byte(name) {
		if c < '0' || c > '9' || n > 1<<30 {
			return n
		}
		n = 10*n + int(c-'0')
	}
	return n
}

// WriteFile puts a file beside the calls, in place of one of that name:
// whatever else belongs to the recording. The name is a path within the
// folder, with slashes; credentials in data are blotted out.
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
	if err := r.write(name, scrubFile(data)); err != nil {
		return err
	}
	if slices.Contains(r.manifest.Files, name) {
		return nil
	}
	r.manifest.Files = append(r.manifest.Files, name)
	slices.Sort(r.manifest.Files)
	return r.writeManifest()
}

// Close ends the recording. It returns why calls could not be recorded, if
// any could not; the cassette then says that it is incomplete. Calls that end
// later are not recorded.
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
		r.manifest.Calls, err = callNames(r.root)
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

// write makes a file appear whole. The caller holds r.mu.
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

// Layer is next with its calls recorded.
func (r *Recorder) Layer(next llm.Model) llm.Model {
	return llm.ModelFunc(func(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
		return func(yield func(llm.Event, error) bool) {
			t := r.begins(req)
			// Deferred and after the last yield: who reads the stream does
			// not wait for the folder, and an answer is recorded even if its
			// reader panics or leaves at the end.
			defer func() { r.ends(t) }()
			for ev, err := range next.Stream(ctx, req) {
				t.see(ev, err)
				if !yield(ev, err) {
					return
				}
			}
			if t.resp == nil && t.err == nil {
				t.err = llm.ErrIncomplete
			}
		}
	})
}

// take is one call as it happens.
type take struct {
	agent   string
	request writtenRequest
	unfit   error // why the request cannot be written
	nth     int   // time that this call is made
	start   time.Time
	first   time.Duration // until the first piece

	resp *llm.Response
	err  error
}

func (r *Recorder) begins(req *llm.Request) *take {
	t := &take{agent: req.Agent, start: time.Now()}
	if t.request, t.unfit = write(req); t.unfit != nil {
		return t
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.calls[t.request.key]
	if h == nil {
		h = &history{}
		r.calls[t.request.key] = h
	}
	h.asked++
	t.nth = h.asked
	return t
}

func (t *take) see(ev llm.Event, err error) {
	switch {
	case err != nil:
		t.err = err
	case ev.Type == llm.EventDone:
		t.resp = ev.Response
	case t.first == 0 && (ev.Type == llm.EventText || ev.Type == llm.EventThinking || ev.Type == llm.EventToolInput):
		t.first = time.Since(t.start)
	}
}

// ends records the call, if it came to an end of its own.
func (r *Recorder) ends(t *take) {
	if t.resp == nil && (t.err == nil || t.unfit != nil || llm.CodeOf(t.err) == llm.CodeCanceled) {
		return
	}
	f := callFile{
		Agent: t.agent, Nth: t.nth, Request: t.request.json,
		Timing: timing{time.Since(t.start).Seconds(), t.first.Seconds()},
	}
	outcome, err := f.settle(t)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	if err == nil {
		err = r.calls[t.request.key].add(outcome, folder{r, t.request.key, f})
	}
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("the recording in %s lacks a call: %w", r.root.Name(), err)
	}
}

// settle writes the call's end into its file.
func (f *callFile) settle(t *take) (*outcome, error) {
	o := &outcome{nth: t.nth, failed: t.resp == nil}
	if t.unfit != nil {
		return nil, t.unfit
	}
	if o.failed {
		f.Failure = newFailure(t.err)
	} else if err := f.setAnswer(t.resp); err != nil {
		return nil, err
	}
	data, err := encode([]any{f.Answer, f.ToolInputs, f.Failure})
	o.digest = sha256.Sum256(data)
	return o, err
}

// folder is where the files of one key's calls are.
type folder struct {
	r    *Recorder
	key  llm.Key
	call callFile // the one that has just ended
}

// write writes the call that has just ended.
func (f folder) write() (name string, err error) { return f.put(f.call) }

// repeat writes the call in file name again, as the nth of its kind.
func (f folder) repeat(name string, nth int) (string, error) {
	data, err := f.r.root.ReadFile(path.Join(callsDir, name))
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

func (f folder) put(call callFile) (string, error) {
	data, err := encode(call)
	if err != nil {
		return "", err
	}
	f.r.number++
	name := callName(f.r.number, call.Agent, f.key)
	return name, f.r.write(path.Join(callsDir, name), data)
}

func (f folder) remove(name string) error { return f.r.root.Remove(path.Join(callsDir, name)) }
