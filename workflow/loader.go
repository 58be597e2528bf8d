package workflow

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v4"
)

const (
	maxNesting  = 10       // levels of files that run other files
	maxFiles    = 100      // files of one workflow
	maxAllBytes = 16 << 20 // of all files together
)

// loader reads the files of one call of Parse, each once.
type loader struct {
	opts     Options
	agents   map[string]error
	done     map[string]loadedFile
	texts    map[string]loadedText
	found    map[string]foundFile
	named    map[string]string // the paths of found
	commands map[string]foundSlashCommand
	open     []string  // paths of the files that are being read, outermost first
	readers  []*reader // in the order in which their files were opened
	bytes    int
}

// loadedFile is a file that has been read.
type loadedFile struct {
	w      *Workflow // nil if the file has an error
	height int       // levels of files below it
}

// loadedText is what [Options.Load] returned.
type loadedText struct {
	data []byte
	err  error
}

// foundFile is what [Options.Find] returned.
type foundFile struct {
	path string
	err  error
}

func newLoader(opts Options) *loader {
	return &loader{opts: opts, agents: map[string]error{}, done: map[string]loadedFile{}, texts: map[string]loadedText{}, found: map[string]foundFile{}}
}

// checkAgent returns what Options.CheckAgent says of a name, which it is asked once.
func (l *loader) checkAgent(name string) error {
	err, ok := l.agents[name]
	if !ok {
		err = l.opts.CheckAgent(name)
		l.agents[name] = err
	}
	return err
}

// read reads one file and those below it.
func (l *loader) read(file string, data []byte, depth int) loadedFile {
	p := &reader{file: file, loader: l, depth: depth, suggester: suggester{budget: 200_000}, ids: map[string]*yaml.Node{}}
	l.readers = append(l.readers, p)
	l.open = append(l.open, filepath.Clean(file))
	l.bytes += len(data)
	var w *Workflow
	if root := p.load(data); root != nil {
		w = p.workflow(root)
	}
	l.open = l.open[:len(l.open)-1]
	if p.failures > 0 || w == nil {
		return loadedFile{height: p.height}
	}
	w.file, w.Source = file, slices.Clone(data)
	return loadedFile{w, p.height}
}

// errors returns the problems of all files, those of the named file first.
func (l *loader) errors(file string) Errors {
	var all Errors
	failures := 0
	for _, p := range l.readers {
		p.errs.sort()
		all = append(all, p.errs...)
		failures += p.failures - p.repeated
	}
	all = all[:min(len(all), maxErrors)]
	if more := failures - len(all); more > 0 {
		all = append(all, &Error{File: file, Message: plural(more, "more problem") + " not shown"})
	}
	return all
}

// subWorkflow returns the workflow of the file that a step runs. If it cannot be
// read, subWorkflow reports why and returns nil.
func (p *reader) subWorkflow(n *yaml.Node, name string) *Workflow {
	l := p.loader
	path := p.locate(n, name)
	if path == "" {
		return nil
	}
	if i := slices.Index(l.open, path); i >= 0 {
		p.fail(n, ErrCycle, "a file cannot run itself", "workflow cycle: %s", strings.Join(append(slices.Clone(l.open[i:]), path), " -> "))
		return nil
	}
	loaded, ok := l.done[path]
	switch {
	case ok:
	case p.depth >= maxNesting:
		p.fail(n, ErrTooLarge, "", "workflows are nested more than %d levels deep", maxNesting)
		return nil
	case len(l.readers) >= maxFiles:
		p.fail(n, ErrTooLarge, "", "the workflow has more than %d files", maxFiles)
		return nil
	default:
		data, err := l.load(path)
		switch {
		case err != nil:
			p.fail(n, fmt.Errorf("%w: %w", ErrUnknownWorkflow, err), "", "cannot read workflow %s: %v", quote(name), err)
		case l.bytes+len(data) > maxAllBytes:
			p.fail(n, ErrTooLarge, "", "the files of the workflow are larger than %d MiB together", maxAllBytes>>20)
		default:
			loaded = l.read(path, data, p.depth+1)
		}
		l.done[path] = loaded
	}
	p.height = max(p.height, loaded.height+1)
	if p.depth+p.height > maxNesting {
		p.fail(n, ErrTooLarge, "", "workflows are nested more than %d levels deep", maxNesting)
	}
	if loaded.w != nil {
		p.below = append(p.below, loaded.w)
	}
	return loaded.w
}

// load returns the bytes of a file, which it reads once.
func (l *loader) load(path string) ([]byte, error) {
	text, ok := l.texts[path]
	if !ok {
		text.data, text.err = l.opts.Load(path)
		l.texts[path] = text
	}
	return text.data, text.err
}

// IsName reports whether the workflow of a step may be meant as a name: it looks like no
// path of a file. If there is a file of that path, it is a path all the same.
func IsName(s string) bool {
	if s == "" || strings.ContainsAny(s, `/\`) || strings.HasPrefix(s, ".") || strings.HasPrefix(s, "-") {
		return false
	}
	return !slices.Contains([]string{".yaml", ".yml", ".json"}, strings.ToLower(filepath.Ext(s)))
}

// locate returns the path of the file that a step runs, which it names by path or by name.
// If there is none, locate reports why and returns an empty path.
func (p *reader) locate(n *yaml.Node, name string) string {
	l := p.loader
	path := name
	if !filepath.IsAbs(name) {
		path = filepath.Join(filepath.Dir(p.file), filepath.FromSlash(name))
	}
	switch {
	case l.opts.Load == nil:
		p.fail(n, ErrNotSupported, "", "workflow: other files cannot be read here")
		return ""
	case l.opts.Find == nil || !IsName(name):
		return path
	}
	_, missing := l.load(path)
	if missing == nil {
		return path
	}
	found, ok := l.found[name]
	if !ok {
		found.path, found.err = l.opts.Find(name)
		l.found[name] = found
	}
	switch {
	case found.err == nil:
		if l.named == nil {
			l.named = map[string]string{}
		}
		l.named[name] = found.path
		return found.path
	case errors.Is(missing, fs.ErrNotExist):
		p.fail(n, fmt.Errorf("%w: %w", ErrUnknownWorkflow, found.err), "for a file beside this one write its extension too: "+name+".yaml", "%s", found.err)
		return ""
	}
	return path // the error is that of the file
}
