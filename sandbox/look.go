package sandbox

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// Missing reports whether the program of a command is not there, so that the command
// cannot start.
func Missing(c Command) bool {
	path := lookPath(c)
	if !filepath.IsAbs(path) {
		return filepath.Base(path) == path
	}
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// lookPath returns the file of a command, looked up in the PATH of the
// command's environment. A name that is not found is returned as it is.
func lookPath(c Command) string {
	name := c.Args[0]
	if filepath.Base(name) != name {
		if !filepath.IsAbs(name) {
			return filepath.Join(c.Dir, name)
		}
		return name
	}
	for _, v := range c.Env {
		path, ok := strings.CutPrefix(v, "PATH=")
		if !ok {
			continue
		}
		for _, dir := range filepath.SplitList(path) {
			if !filepath.IsAbs(dir) {
				continue
			}
			file := filepath.Join(dir, name)
			if runtime.GOOS == "windows" {
				if found, err := exec.LookPath(file); err == nil {
					return found
				}
				continue
			}
			if info, err := os.Stat(file); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
				return file
			}
		}
	}
	return name
}
