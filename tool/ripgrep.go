package tool

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// minRipgrep is how many bytes there are to search before starting ripgrep pays.
const minRipgrep = 4 << 20

// ripgrep leaves out the files in which ripgrep finds nothing. It only sorts out:
// what is left is opened and searched here, so that a file which was replaced by a
// link meanwhile shows nothing, and results are the same without ripgrep. If it
// fails, all files are left.
func (e *Env) ripgrep(ctx context.Context, files []found, p *pattern, multiline bool) []found {
	size := int64(0)
	for _, f := range files {
		size += f.size
	}
	if e.options.Ripgrep == "" || size < e.options.minRipgrep() {
		return files
	}
	const batch = 500
	var left []found
	for files := range slices.Chunk(files, batch) {
		args := []string{"-l", "-0"} // names of files with matches, ended by NUL
		if multiline {
			args = append(args, "-U")
		}
		args = append(args, "-e", p.rust, "--")
		for _, f := range files {
			args = append(args, f.path)
		}
		cmd := exec.CommandContext(ctx, e.options.Ripgrep, args...)
		cmd.Dir = filepath.Dir(e.options.Ripgrep)
		cmd.Env = []string{"LC_ALL=C.UTF-8"}
		out, err := cmd.Output()
		if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && (!ok || exit.ExitCode() != 1) {
			left = append(left, files...)
			continue
		}
		matching := map[string]bool{}
		for name := range strings.SplitSeq(string(out), "\x00") {
			matching[name] = true
		}
		for _, f := range files {
			if matching[f.path] {
				left = append(left, f)
			}
		}
	}
	return left
}

func (o *Options) minRipgrep() int64 {
	if o.ripgrepFrom != nil {
		return *o.ripgrepFrom
	}
	return minRipgrep
}
