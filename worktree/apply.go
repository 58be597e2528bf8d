package worktree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/internal/openfile"
	"github.com/claude-force/claude-force/internal/tempfolder"
	"github.com/claude-force/claude-force/llm"
)

// Conflict is a file that the checkout and a worktree changed in ways that cannot be
// joined. A side is nil if it does not have the file.
type Conflict struct {
	File   string  `json:"file"`
	Reason string  `json:"reason"`
	Base   *string `json:"base"`   // content that both started from
	Ours   *string `json:"ours"`   // in the checkout, with what is not committed
	Theirs *string `json:"theirs"` // in the worktree
	Merged string  `json:"merged"` // the file with both sides between markers, if it is a text
}

// Applied is what came of [Repository.Apply].
type Applied struct {
	Files     []string   `json:"files"`     // of the checkout that were changed
	Conflicts []Conflict `json:"conflicts"` // empty if all went well
}

// ApplyOptions say how changes are applied.
type ApplyOptions struct {
	// Markers writes files with conflicts too, with both sides between markers.
	// Without it, a conflict leaves the checkout as it was.
	Markers bool
}

// Apply merges changes into the checkout, as a merge of what the checkout has now,
// committed or not, with what the worktree has. It changes files only: neither the
// index nor a branch. It writes nothing if a file changes while it works, or if an
// untracked file is in the way.
func (r *Repository) Apply(ctx context.Context, c *llm.Changes, opts ApplyOptions) (*Applied, error) {
	if err := r.has(ctx, c); err != nil {
		return nil, err
	}
	dir, err := tempfolder.New("index")
	if err != nil {
		return nil, fmt.Errorf("applying changes: %w", err)
	}
	defer func() { _ = dir.Remove() }()
	m := &merge{repo: r, changes: c, index: filepath.Join(dir.Path(), "index")}
	applied, err := m.run(ctx, opts)
	if err != nil {
		return nil, fmt.Errorf("applying changes: %w", err)
	}
	return applied, nil
}

// merge is one merge. It has an index of its own, so that the checkout's stays as
// it is.
type merge struct {
	repo    *Repository
	changes *llm.Changes
	index   string
}

func (m *merge) git(ctx context.Context, args ...string) (string, error) {
	return m.repo.call(ctx, call{index: m.index}, args...)
}

// line runs git and returns its output without the line end.
func (m *merge) line(ctx context.Context, args ...string) (string, error) {
	out, err := m.git(ctx, args...)
	return strings.TrimSpace(out), err
}

func (m *merge) run(ctx context.Context, opts ApplyOptions) (*Applied, error) {
	ours, err := m.checkout(ctx)
	if err != nil {
		return nil, err
	}
	theirs, err := m.line(ctx, "rev-parse", "--verify", "--end-of-options", m.changes.Commit+"^{tree}")
	if err != nil {
		return nil, err
	}
	was, err := m.line(ctx, "rev-parse", "--verify", "--end-of-options", m.changes.Base+"^{tree}")
	if err != nil {
		return nil, err
	}
	// Commits of no history but their own say what is merged, whatever became of
	// the branches since.
	base, err := m.line(ctx, "commit-tree", was, "-m", "base")
	if err != nil {
		return nil, err
	}
	sides := make([]string, 2)
	for i, tree := range []string{ours, theirs} {
		if sides[i], err = m.line(ctx, "commit-tree", tree, "-p", base, "-m", "side"); err != nil {
			return nil, err
		}
	}
	out, err := m.git(ctx, "merge-tree", "--write-tree", "--messages", "-z", sides[0], sides[1])
	failed, _ := errors.AsType[*Error](err)
	if err != nil && (failed == nil || failed.Code != 1) {
		if failed != nil && failed.Code == 129 {
			return nil, fault.Input(errors.New("git 2.38 or later is needed"))
		}
		return nil, err
	}
	tree, conflicts, err := m.conflicts(ctx, out)
	if err != nil {
		return nil, err
	}
	applied := &Applied{Files: []string{}, Conflicts: conflicts}
	if len(conflicts) > 0 && !opts.Markers || tree == ours {
		return applied, nil
	}
	names, err := m.git(ctx, "diff-tree", "-r", "-z", "--name-only", "--no-renames", ours, tree)
	if err != nil {
		return nil, err
	}
	if _, err := m.git(ctx, "read-tree", "-m", "-u", ours, tree); err != nil {
		if failed, ok := errors.AsType[*Error](err); ok && strings.Contains(failed.Stderr, "would be") {
			return nil, fault.Input(fmt.Errorf("the checkout was left as it was, since files in it would be lost:\n%s", strings.TrimSpace(failed.Stderr)))
		}
		return nil, err
	}
	applied.Files = list(names)
	return applied, nil
}

func list(text string) []string {
	return strings.FieldsFunc(text, func(c rune) bool { return c == 0 })
}

// maxIndex bounds the index of a checkout, in bytes.
const maxIndex = 2 << 30

// checkout returns a tree of what the checkout has: what is committed, and its
// changes to tracked files and to those that the worktree changed.
func (m *merge) checkout(ctx context.Context) (string, error) {
	r := m.repo
	switch data, err := openfile.Read(filepath.Join(r.gitDir, "index"), maxIndex); {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := m.git(ctx, "read-tree", "HEAD"); err != nil {
			return "", err
		}
	case err != nil:
		return "", err
	default:
		if err := os.WriteFile(m.index, data, 0o600); err != nil {
			return "", err
		}
	}
	unmerged, err := m.git(ctx, "ls-files", "--unmerged", "-z")
	if err != nil {
		return "", err
	}
	if unmerged != "" {
		return "", fault.Input(errors.New("the checkout has conflicts of an earlier merge; resolve them first"))
	}
	// Submodules are left out: git would look into them with their own settings.
	tracked, err := m.git(ctx, "ls-files", "--stage", "-z")
	if err != nil {
		return "", err
	}
	update := bytes.NewBufferString(":/\x00")
	for _, entry := range list(tracked) {
		if head, file, _ := strings.Cut(entry, "\t"); strings.HasPrefix(head, "160000 ") {
			update.WriteString(":(top,exclude,literal)" + file + "\x00")
		}
	}
	if _, err := r.call(ctx, call{index: m.index, stdin: update}, "add", "--update", "--pathspec-from-file=-", "--pathspec-file-nul"); err != nil {
		return "", err
	}
	var paths bytes.Buffer
	for _, file := range m.changes.Files {
		// git itself refuses a path through a link, and a folder is no file.
		if info, err := os.Lstat(filepath.Join(r.top, filepath.FromSlash(file))); err == nil && !info.IsDir() && filepath.IsLocal(filepath.FromSlash(file)) {
			paths.WriteString(":(literal)" + file + "\x00")
		}
	}
	if paths.Len() > 0 {
		if _, err := r.call(ctx, call{index: m.index, stdin: &paths}, "add", "--force", "--pathspec-from-file=-", "--pathspec-file-nul"); err != nil {
			return "", err
		}
	}
	return m.line(ctx, "write-tree")
}

// stage is a line of merge-tree about one side of a conflict.
type stage struct{ mode, object, number, file string }

// conflicts reads the output of merge-tree: the tree, then the sides of files in
// conflict, then messages.
func (m *merge) conflicts(ctx context.Context, out string) (tree string, _ []Conflict, err error) {
	fields := strings.Split(out, "\x00")
	tree, fields = fields[0], fields[1:]
	byFile := map[string][]stage{}
	var order []string
	for len(fields) > 0 && fields[0] != "" {
		head, file, ok := strings.Cut(fields[0], "\t")
		parts := strings.Fields(head)
		if !ok || len(parts) != 3 {
			return "", nil, fmt.Errorf("git merge-tree wrote what is not known: %q", fields[0])
		}
		if byFile[file] == nil {
			order = append(order, file)
		}
		byFile[file] = append(byFile[file], stage{parts[0], parts[1], parts[2], file})
		fields = fields[1:]
	}
	reasons := map[string]string{}
	for rest := fields[min(1, len(fields)):]; len(rest) > 1; {
		var n int
		if _, err := fmt.Sscan(rest[0], &n); err != nil || len(rest) < n+3 {
			break
		}
		kind, message := rest[n+1], strings.TrimSpace(rest[n+2])
		for _, file := range rest[1 : n+1] {
			if strings.HasPrefix(kind, "CONFLICT") {
				reasons[file] = strings.TrimSpace(strings.TrimPrefix(message, "CONFLICT "))
			}
		}
		rest = rest[n+3:]
	}
	slices.Sort(order)
	var conflicts []Conflict
	for _, file := range order {
		c := Conflict{File: file, Reason: reasons[file]}
		for _, s := range byFile[file] {
			text, err := m.content(ctx, s.object)
			if err != nil {
				return "", nil, err
			}
			switch s.number {
			case "1":
				c.Base = &text
			case "2":
				c.Ours = &text
			case "3":
				c.Theirs = &text
			}
		}
		if c.Ours != nil && c.Theirs != nil {
			if merged, err := m.content(ctx, tree+":"+file); err == nil {
				c.Merged = label(merged)
			}
		}
		conflicts = append(conflicts, c)
	}
	return tree, conflicts, nil
}

// maxSide is the size up to which a side of a conflict is shown.
const maxSide = 256 << 10

// content returns the content of an object; of one that is long or no text, what it
// is.
func (m *merge) content(ctx context.Context, object string) (string, error) {
	var b bounded
	if _, err := m.repo.call(ctx, call{index: m.index, out: &b}, "cat-file", "blob", "--end-of-options", object); err != nil {
		return "", err
	}
	text := b.buf.String()
	switch {
	case b.cut || len(text) > maxSide:
		return fmt.Sprintf("(more than %d KiB)", maxSide>>10), nil
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		return fmt.Sprintf("(%d bytes that are no text)", len(text)), nil
	}
	return text, nil
}

// label gives the markers of conflicts names that people know.
func label(text string) string {
	lines := strings.SplitAfter(text, "\n")
	for i, line := range lines {
		for _, marker := range [][2]string{{"<<<<<<< ", "checkout"}, {">>>>>>> ", "worktree"}} {
			if strings.HasPrefix(line, marker[0]) {
				lines[i] = marker[0] + marker[1] + line[len(strings.TrimRight(line, "\r\n")):]
			}
		}
	}
	return strings.Join(lines, "")
}

// Hunks returns the parts of the file that are in conflict, with both sides between
// markers and the number of the line before each; empty if the file is no text that
// both sides have.
func (c *Conflict) Hunks() string {
	var b strings.Builder
	inside := false
	for i, line := range strings.SplitAfter(c.Merged, "\n") {
		if strings.HasPrefix(line, "<<<<<<< ") {
			inside = true
			fmt.Fprintf(&b, "%s:%d\n", c.File, i+1)
		}
		if inside {
			b.WriteString(line)
		}
		if strings.HasPrefix(line, ">>>>>>> ") {
			inside = false
		}
	}
	return b.String()
}
