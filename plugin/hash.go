package plugin

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/claude-force/claude-force/internal/openfile"
)

// Bounds of a plugin.
const (
	MaxFiles = 5000
	MaxFile  = 8 << 20  // bytes
	MaxTotal = 64 << 20 // bytes
)

const hashPrefix = "sha256:"

func validHash(hash string) bool {
	sum, ok := strings.CutPrefix(hash, hashPrefix)
	data, err := hex.DecodeString(sum)
	return ok && err == nil && len(data) == sha256.Size
}

func shortHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}

// file is one file of a plugin.
type file struct {
	name       string // slash path
	link       bool   // data is where it leads
	executable bool
	data       []byte
}

// bounds counts what a plugin has.
type bounds struct {
	files int
	total int64
}

func (b *bounds) add(name string, size int64) error {
	b.files++
	b.total += size
	switch {
	case size > MaxFile:
		return fmt.Errorf("%s is larger than %d MiB", name, MaxFile>>20)
	case b.files > MaxFiles:
		return fmt.Errorf("it has more than %d files", MaxFiles)
	case b.total > MaxTotal:
		return fmt.Errorf("it is larger than %d MiB", MaxTotal>>20)
	}
	return nil
}

// Hash returns the hash of the names, contents, links and permissions to execute of
// the files in a folder.
func Hash(dir string) (string, error) {
	files, err := scan(dir)
	if err != nil {
		return "", err
	}
	return hashOf(files), nil
}

func hashOf(files []file) string {
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.name, b.name) })
	all := sha256.New()
	for _, f := range files {
		kind := "file"
		switch {
		case f.link:
			kind = "link"
		case f.executable:
			kind = "program"
		}
		// Of fixed length but for the name, which %q bounds.
		fmt.Fprintf(all, "%s %x %q\n", kind, sha256.Sum256(f.data), f.name)
	}
	return hashPrefix + hex.EncodeToString(all.Sum(nil))
}

// scan reads the files in a folder, without .git. A link that leads out is an error;
// so is a pipe, a socket or a device.
func scan(dir string) ([]file, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close() //nolint:errcheck // it was only read
	var files []file
	var b bounds
	err = fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			if entry.Name() == ".git" {
				return fs.SkipDir
			}
			return nil
		case entry.Type()&fs.ModeSymlink != 0:
			target, err := root.Readlink(name)
			if err != nil {
				return err
			}
			f := file{name: name, link: true, data: []byte(target)}
			files = append(files, f)
			return errors.Join(b.add(name, int64(len(target))), inside(f))
		case !entry.Type().IsRegular():
			return fmt.Errorf("%s: %w", name, openfile.ErrNotRegular)
		case entry.Name() == ".git":
			return nil // of a worktree or a submodule
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if err := b.add(name, info.Size()); err != nil {
			return err
		}
		data, err := openfile.ReadIn(root, name, MaxFile)
		files = append(files, file{name: name, executable: info.Mode()&0o100 != 0, data: data})
		return err
	})
	return files, err
}

// inside returns an error for a link that leads out of the plugin.
func inside(f file) error {
	target := string(f.data)
	if path.IsAbs(target) || strings.Contains(target, `\`) || !fs.ValidPath(path.Join(path.Dir(f.name), target)) {
		return fmt.Errorf("the link %s leads out of the plugin, to %s", f.name, target)
	}
	return nil
}

// below returns the files in a folder of a plugin's source, named from there.
func below(files []file, folder string) []file {
	if folder == "" || folder == "." {
		return files
	}
	var list []file
	for _, f := range files {
		if rest, ok := strings.CutPrefix(f.name, folder+"/"); ok {
			f.name = rest
			list = append(list, f)
		}
	}
	return list
}

// store writes files to a new folder.
func store(files []file, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // the errors of the writes count
	// Links last: no file is written through one.
	slices.SortStableFunc(files, func(a, b file) int {
		switch {
		case a.link == b.link:
			return 0
		case a.link:
			return 1
		}
		return -1
	})
	for _, f := range files {
		if err := root.MkdirAll(path.Dir(f.name), 0o755); err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if f.executable {
			mode = 0o755
		}
		if f.link {
			err = root.Symlink(string(f.data), f.name)
		} else {
			err = root.WriteFile(f.name, f.data, mode)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
