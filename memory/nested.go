package memory

import (
	"path"
	"path/filepath"
	"strings"
	"sync"

	"github.com/claude-force/claude-force/internal/claudedir"
)

// Nested gives the instructions that are for some files of a project only, when one
// of the files is read: a CLAUDE.md in a folder below the agent's, and rules with
// paths. It gives each once. Its methods may be called concurrently.
type Nested struct {
	options Options

	mu      sync.Mutex
	rules   []rule
	folders map[string]bool // those that were looked at
	seen    map[string]bool // names of files that were given, as the model reads them
	total   int
}

// Nested returns what gives the instructions for some files beside the memory,
// which was loaded with the options.
func (m *Memory) Nested(options Options) *Nested {
	n := &Nested{options: options, rules: m.rules, folders: map[string]bool{}, seen: map[string]bool{}}
	for _, f := range m.Files {
		n.seen[f.Path] = true
	}
	return n
}

// For returns the text for a file that was read, whose path is absolute, and the
// absolute paths of the files that the text is from. The text is empty if there is none
// that was not given before.
func (n *Nested) For(file string) (text string, files []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	project, err := claudedir.Open(n.options.Dir, n.options.Home)
	if err != nil {
		return "", nil // the folder was there when the memory was loaded
	}
	defer project.Close() //nolint:errcheck // it was only read
	name, ok := within(project.Tree.Dir, file)
	if !ok {
		return "", nil
	}
	own := project.Folders[len(project.Folders)-1]
	l := loader{options: n.options, project: project, seen: map[string]bool{}, tree: project.Tree, bound: ".", total: n.total}
	for _, folder := range below(own, path.Dir(name)) {
		if !n.folders[folder] {
			n.folders[folder] = true
			l.folder(folder)
			n.rules = append(n.rules, l.memory.rules...)
			l.memory.rules = nil
		}
	}
	for i := 0; i < len(n.rules); i++ {
		if n.rules[i].matches(name) {
			l.memory.Files = append(l.memory.Files, n.rules[i].files...)
			n.rules = append(n.rules[:i:i], n.rules[i+1:]...)
			i--
		}
	}
	var fresh []File
	for _, f := range l.memory.Files {
		if !n.seen[f.Path] && n.total+len(f.Text) <= MaxTotal {
			n.seen[f.Path] = true
			n.total += len(f.Text)
			fresh = append(fresh, f)
			files = append(files, filepath.Join(project.Dir, filepath.FromSlash(f.Path)))
		}
	}
	if len(fresh) == 0 {
		return "", nil
	}
	return "<system-reminder>\n" + texts(fresh) + "\n</system-reminder>", files
}

// within returns the slash path in dir of a file, by either of their names.
func within(dir, file string) (name string, ok bool) {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		real = dir
	}
	for _, d := range []string{dir, real} {
		if rel, err := filepath.Rel(d, file); err == nil && filepath.IsLocal(rel) {
			return filepath.ToSlash(rel), true
		}
	}
	return "", false
}

// below returns the folders below own on the way to folder, folder included.
func below(own, folder string) []string {
	rest := folder
	if own != "." {
		var ok bool
		if rest, ok = strings.CutPrefix(folder, own+"/"); !ok {
			return nil
		}
	}
	var folders []string
	at := own
	for part := range strings.SplitSeq(rest, "/") {
		if part != "." && part != "" {
			at = path.Join(at, part)
			folders = append(folders, at)
		}
	}
	return folders
}
