package workflow

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v4"
)

const (
	maxNesting  = 10       // files that run one another
	maxFiles    = 100      // files of one workflow
	maxAllBytes = 16 << 20 // of all files together
)

// library is what all files of one call of Parse share.
type library struct {
	opts    Options
	agents  map[string]error
	done    map[string]volume
	open    []string  // paths of the files that are being read, outermost first
	readers []*reader // in the order the files were begun
	bytes   int
}

// volume is a file that has been read.
type volume struct {
	w      *Workflow // nil when there is anything wrong with it
	height int       // how many files are below it
}

func newLibrary(opts Options) *library {
	return &library{opts: opts, agents: map[string]error{}, done: map[string]volume{}}
}

// read reads one file and those below it.
func (l *library) read(file string, data []byte, depth int) volume {
	p := &reader{file: file, library: l, depth: depth, suggester: suggester{budget: 200_000}, ids: map[string]*yaml.Node{}}
	l.readers = append(l.readers, p)
	l.open = append(l.open, filepath.Clean(file))
	l.bytes += len(data)
	var w *Workflow
	if root := p.load(data); root != nil {
		w = p.workflow(root)
	}
	l.open = l.open[:len(l.open)-1]
	if p.failures > 0 || w == nil {
		return volume{height: p.height}
	}
	w.file, w.Source = file, slices.Clone(data)
	return volume{w, p.height}
}

// errors are those of all files, the named one's first.
func (l *library) errors(file string) Errors {
	var all Errors
	failures := 0
	for _, p := range l.readers {
		p.errs.sort()
		all = append(all, p.errs...)
		failures += p.failures
	}
	all = all[:min(len(all), maxErrors)]
	if more := failures - len(all); more > 0 {
		all = append(all, &Error{File: file, Message: plural(more, "more problem") + " not shown"})
	}
	return all
}

// subWorkflow reads the file a step runs, or says why it cannot and returns nil.
func (p *reader) subWorkflow(n *yaml.Node, name string) *Workflow {
	l := p.library
	path := name
	if !filepath.IsAbs(name) {
		path = filepath.Join(filepath.Dir(p.file), filepath.FromSlash(name))
	}
	if i := slices.Index(l.open, path); i >= 0 {
		p.fail(n, ErrCycle, "a file cannot run itself", "workflow cycle: %s", strings.Join(append(slices.Clone(l.open[i:]), path), " -> "))
		return nil
	}
	vol, ok := l.done[path]
	switch {
	case ok:
	case l.opts.Load == nil:
		p.fail(n, ErrNotSupported, "", "workflow: other files cannot be read here")
		return nil
	case p.depth >= maxNesting:
		p.fail(n, ErrTooLarge, "", "workflows run one another more than %d deep", maxNesting)
		return nil
	case len(l.readers) >= maxFiles:
		p.fail(n, ErrTooLarge, "", "the workflow is made of more than %d files", maxFiles)
		return nil
	default:
		data, err := l.opts.Load(path)
		switch {
		case err != nil:
			p.fail(n, fmt.Errorf("%w: %w", ErrUnknownWorkflow, err), "", "cannot read workflow %s: %v", quote(name), err)
		case l.bytes+len(data) > maxAllBytes:
			p.fail(n, ErrTooLarge, "", "the files of the workflow are larger than %d MiB together", maxAllBytes>>20)
		default:
			vol = l.read(path, data, p.depth+1)
		}
		l.done[path] = vol
	}
	p.height = max(p.height, vol.height+1)
	if p.depth+p.height > maxNesting {
		p.fail(n, ErrTooLarge, "", "workflows run one another more than %d deep", maxNesting)
	}
	if vol.w != nil {
		p.below = append(p.below, vol.w)
	}
	return vol.w
}
