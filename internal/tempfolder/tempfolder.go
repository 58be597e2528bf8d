// Package tempfolder makes temporary folders of which nothing stays for long, also if their
// process is killed: the next process of the same user removes what was left.
package tempfolder

import (
	"errors"
	"io/fs"
	"os"
	"sync"
)

// Folder is a temporary folder of this process, which only its user can enter.
type Folder struct {
	path   string
	unlock func()
}

// swept are the folders of temporary files in which this process has looked for what others left.
var swept sync.Map

// New makes a folder in the system's folder of temporary files, whose name tells what it is
// for. The first folder that a process makes there takes as long as it takes to remove what
// killed processes left.
func New(name string) (*Folder, error) {
	parent := os.TempDir()
	if _, done := swept.LoadOrStore(parent, true); !done {
		Sweep(parent)
	}
	return create(parent, name)
}

// createUnlocked makes a folder that no process takes for one that was left.
func createUnlocked(parent, name string) (*Folder, error) {
	path, err := os.MkdirTemp(parent, "claude-force-"+name+"-")
	if err != nil {
		return nil, err
	}
	return &Folder{path, func() {}}, nil
}

// Path returns where the folder is.
func (f *Folder) Path() string { return f.path }

// Remove removes the folder with all that is in it, also what took permissions from itself.
// It follows no links. A folder that is nil, or was removed, is no error.
func (f *Folder) Remove() error {
	if f == nil {
		return nil
	}
	err := removeAll(f.path)
	f.unlock()
	return err
}

// removeAll removes a folder. Its contents go first, so that a folder of which a part is left can
// still be locked.
func removeAll(path string) error {
	root, err := os.OpenRoot(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	err = empty(root)
	return errors.Join(err, root.Close(), os.Remove(path))
}

// empty removes what is in a folder.
func empty(root *os.Root) error {
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if removeErr := root.RemoveAll(entry.Name()); removeErr == nil {
			continue
		}
		// A folder in it may let its owner remove nothing.
		_ = fs.WalkDir(root.FS(), entry.Name(), func(path string, d fs.DirEntry, _ error) error {
			if d != nil && d.IsDir() {
				_ = root.Chmod(path, 0o700) // what fails now fails to be removed
			}
			return nil
		})
		err = errors.Join(err, root.RemoveAll(entry.Name()))
	}
	return err
}
