package worktree

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/claude-force/claude-force/fault"
)

// ChangedFiles returns the files of the project's folder that HEAD has changed since it
// left a base, a commit, branch or tag, sorted and with slashes. With uncommitted, those
// that the checkout has changed since then, and new files that are not ignored, are among
// them. Files that are gone are not. The error of a base that is none is a
// [fault.InputError].
func (r *Repository) ChangedFiles(ctx context.Context, base string, uncommitted bool) ([]string, error) {
	var ends [2]string
	for i, name := range []string{base, "HEAD"} {
		commit, err := r.run(ctx, "rev-parse", "--verify", "--quiet", "--end-of-options", name+"^{commit}")
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err != nil && i == 1:
			return nil, fault.Input(fmt.Errorf("the repository %s has no commit yet", r.top))
		case err != nil:
			return nil, fault.Input(fmt.Errorf("the repository %s has no commit, branch or tag %q", r.top, base))
		}
		ends[i] = strings.TrimSpace(commit)
	}
	from, err := r.run(ctx, "merge-base", "--end-of-options", ends[0], ends[1])
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if failed, ok := errors.AsType[*Error](err); ok && failed.Code == 1 {
		return nil, fault.Input(fmt.Errorf("%q and HEAD have no commit in common in the repository %s; if it is a shallow clone, fetch all of its history", base, r.top))
	}
	if err != nil {
		return nil, err
	}
	diff := []string{"diff", "--name-only", "-z", "--no-renames", "--no-ext-diff", "--no-textconv", "--ignore-submodules=all", "--diff-filter=d", strings.TrimSpace(from)}
	if !uncommitted {
		diff = append(diff, ends[1])
	}
	lists := [][]string{append(diff, "--")}
	if uncommitted {
		lists = append(lists, []string{"ls-files", "-z", "--others", "--exclude-standard", "--"})
	}
	files := []string{}
	for _, args := range lists {
		text, err := r.run(ctx, args...)
		if err != nil {
			return nil, err
		}
		for name := range strings.SplitSeq(text, "\x00") {
			inside, ok := r.inside(name)
			switch {
			case !ok || strings.HasSuffix(name, "/"): // a repository within it
			case !utf8.ValidString(inside):
				return nil, fault.Input(fmt.Errorf("the name of the changed file %q is not UTF-8", inside))
			default:
				files = append(files, inside)
			}
		}
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

// inside returns the path of a file of the checkout from the project's folder; ok is
// false for one that is not in it.
func (r *Repository) inside(name string) (path string, ok bool) {
	if r.prefix == "" {
		return name, name != ""
	}
	return strings.CutPrefix(name, r.prefix+"/")
}
