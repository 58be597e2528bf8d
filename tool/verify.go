package tool

import (
	"cmp"
	"context"
	"encoding/json"
)

// Difference is an observation that would be another one now.
type Difference struct {
	Observation
	// Own is set if it is what the calls themselves did afterwards: they changed a
	// file that they had read.
	Own bool
}

// Verify returns the first of the observations of finished calls that would be another
// if the calls were made again; nil if all would be the same. A file that the calls
// wrote must have the content that they gave it last. The environment must be one of
// the same folders and permissions in which nothing was called; it is of no use
// afterwards. It runs no command and writes nothing, and an Env whose Gate asks a
// person should not be used.
func (e *Env) Verify(ctx context.Context, seen []Observation) (*Difference, error) {
	v := verifier{env: e, written: map[string]string{}, own: map[string]string{}, noted: map[string]bool{}}
	e.options.ResultDir = ""
	for _, o := range seen {
		switch o.Kind {
		case Wrote:
			v.written[o.Name] = o.Digest
		case SawFile:
			v.noted[o.Name] = true
		}
	}
	for _, o := range seen {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if same := v.same(ctx, o); !same {
			return &Difference{o, v.changedIt(o)}, ctx.Err()
		}
	}
	return nil, nil
}

type verifier struct {
	env     *Env
	written map[string]string // digest of the content that a file was given last, by path
	own     map[string]string // the same, as of the observation that is looked at
	noted   map[string]bool   // paths of files that were seen
}

// same reports whether an observation would be the same now.
func (v *verifier) same(ctx context.Context, o Observation) bool {
	if o.Tool != "" {
		v.env.mu.Lock()
		v.env.cwd = cmp.Or(o.Cwd, v.env.dir)
		v.env.mu.Unlock()
		if v.env.gate(ctx, o.Tool, o.input()) != nil {
			return false
		}
	}
	switch o.Kind {
	case SawFile:
		return v.file(o)
	case Wrote:
		v.own[o.Name] = o.Digest
		path := cmp.Or(o.Path, o.Name)
		_, link, err := v.env.lstat(path) // a link is not written
		return err == nil && link == "" && v.env.real(path) == o.Name && v.content(path, v.written[o.Name])
	case SawGlob, SawGrep, SawFailure:
		return v.again(ctx, o)
	case SawTree:
		tree, ok := v.env.tree(ctx)
		return ok && tree == o
	}
	return false // a kind of a later version, or a call that may have seen anything
}

// input returns the input of the call.
func (o Observation) input() json.RawMessage {
	if o.Input == "" {
		return json.RawMessage(o.Name)
	}
	return json.RawMessage(o.Input)
}

// file reports whether a file is where it was, with the content that was seen.
func (v *verifier) file(o Observation) bool {
	path := cmp.Or(o.Path, o.Name)
	if o.Tool != "" {
		in, err := parse[readInput](o.input())
		if err != nil {
			return false
		}
		path = v.env.Abs(in.FilePath)
	}
	own, ok := v.own[o.Name] // what the calls had written themselves by then
	switch {
	case v.env.real(path) != o.Name, ok && own != o.Digest, !ok && !v.content(path, o.Digest):
		return false
	}
	if o.Tool == "" || v.env.options.Beside == nil {
		return true
	}
	_, files := v.env.options.Beside(o.Name)
	for _, f := range files {
		if !v.noted[v.env.real(v.env.Abs(f))] {
			return false // instructions for the file that there were not
		}
	}
	return true
}

// content reports whether a file has a content.
func (v *verifier) content(path, digest string) bool {
	f, err := v.env.read(path, maxFile)
	return err == nil && digestOf(string(f.data)) == digest
}

// again reports whether a call that only reads sees the same.
func (v *verifier) again(ctx context.Context, o Observation) bool {
	var t Tool
	switch o.Tool {
	case "Read":
		t = Read()
	case "Glob":
		t = Glob()
	case "Grep":
		t = Grep()
	default:
		return false
	}
	env := v.env.ForCall()
	_, _ = t.Call(ctx, env, o.input()) // how it fails is an observation
	now := env.TakeChange().Observed
	return len(now) == 1 && now[0] == o
}

// changedIt reports whether an observation is another now since the calls changed a
// file after they had read it.
func (v *verifier) changedIt(o Observation) bool {
	written, ok := v.written[o.Name]
	return ok && o.Kind == SawFile && v.content(o.Name, written)
}
