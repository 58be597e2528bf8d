// Package attach reads the files attached to a task and formats them for its
// prompt.
//
// Files are selected by glob patterns, with ** for any number of folders, inside
// one folder. No path or link leads out of that folder:
//
//	dir, err := attach.Open(".")
//	…
//	files, err := dir.Read(ctx, []string{"src/**/*.go"}, attach.Limits{})
//	prompt := task + "\n\n" + attach.Text(files)
//
// The same files always give the same text, sorted by path, so that the call's
// key changes exactly if a file does.
package attach

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/claude-force/claude-force/internal/media"
	"github.com/claude-force/claude-force/internal/openfile"
	"github.com/claude-force/claude-force/llm"
)

// File is one file's contents.
type File struct {
	Path    string // relative to the folder, with forward slashes
	Content string // its text; empty for an image or a document

	// Type is the media type of an image or a PDF file, which is read only with
	// [Limits.Media]; empty for text.
	Type string

	data  []byte // of an image or a document, as the file has it
	block llm.Block
	size  string // of an image, for its label
}

// Bytes returns what the file holds.
func (f File) Bytes() []byte {
	if f.Type != "" {
		return f.data
	}
	return []byte(f.Content)
}

// Limits bound the files attached to one task. Zero fields have defaults.
type Limits struct {
	Files int   // most files; 0 means 2,000
	Bytes int64 // most bytes of all files together; 0 means 8 MiB, about two million tokens

	// Media lets images and PDF files be read too, as [Blocks] of a prompt: those whose
	// path a pattern is, and those that a glob finds which ends in their extension.
	Media bool

	// OnNote receives what the user should know of the files that were read: those
	// that a pattern found and that are left out, and those that were converted to
	// UTF-8. Nil: it is not called.
	OnNote func(text string)
}

func (l Limits) note(format string, args ...any) {
	if l.OnNote != nil {
		l.OnNote(fmt.Sprintf(format, args...))
	}
}

const (
	defaultFiles = 2_000
	defaultBytes = 8 << 20
)

// ErrNoMatch is the error of a pattern that matches no file.
var ErrNoMatch = errors.New("no such file")

// Dir is the folder to read files from. It is safe for concurrent use.
type Dir struct {
	root *os.Root
	path string // absolute
}

// Open opens a folder. Close it when done.
func Open(dir string) (*Dir, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("opening folder %s: %w", dir, err)
	}
	root, err := os.OpenRoot(abs)
	if err != nil {
		return nil, fmt.Errorf("opening folder %s: %w", dir, err)
	}
	return &Dir{root: root, path: abs}, nil
}

// Close closes the folder.
func (d *Dir) Close() error { return d.root.Close() }

// Read reads the files that match the patterns, each once, sorted by path. A
// pattern is a path or a glob, relative to the folder or absolute within it.
//
// A pattern that matches no file is an error ([ErrNoMatch]), since a task without
// its file wastes money. Files keep their bytes; text in UTF-16 with a byte order mark
// is converted to UTF-8. Any other file that is not UTF-8 text is an error if its
// pattern has no glob characters, and left out if a glob found it, as are files in
// .git and node_modules unless the pattern names these folders.
func (d *Dir) Read(ctx context.Context, patterns []string, limits Limits) ([]File, error) {
	limit := int64(defaultBytes)
	if limits.Bytes > 0 {
		limit = limits.Bytes
	}
	names, err := d.find(ctx, patterns, limits)
	if err != nil {
		return nil, err
	}
	files := make([]File, 0, len(names))
	left, mediaLeft := limit, int64(maxReadMedia)
	var binary, encoded []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if err := ctx.Err(); err != nil {
			return nil, llm.ContextError(ctx)
		}
		how, most := names[name], left
		if limits.Media && how.media {
			most = max(left, mediaLeft)
		}
		content, err := d.readFile(name, most)
		if err != nil {
			return nil, err
		}
		if kind := media.TypeOf(content); kind != "" && limits.Media && how.media {
			if mediaLeft -= int64(len(content)); mediaLeft < 0 {
				return nil, fmt.Errorf("reading %s: the images and documents are larger than %d MiB together; name fewer", name, maxReadMedia>>20)
			}
			files = append(files, File{Path: name, Type: kind, data: content})
			continue
		}
		if int64(len(content)) > left {
			return nil, fmt.Errorf("reading %s: the files are larger than %d MiB together; name fewer", name, limit>>20)
		}
		text, converted, err := decode(content)
		switch {
		case err != nil && how.named:
			return nil, fmt.Errorf("reading %s: %w", name, err)
		case errors.Is(err, errEncoding):
			encoded = append(encoded, name)
			continue
		case err != nil:
			binary = append(binary, name)
			continue
		case converted != "":
			limits.note("%s was converted from %s to UTF-8", name, converted)
		}
		left -= int64(len(content))
		files = append(files, File{Path: name, Content: text})
	}
	if err := mediaBlocks(files); err != nil {
		return nil, err
	}
	switch {
	case len(binary) == 0:
	case limits.Media && slices.ContainsFunc(binary, wantsMedia):
		limits.note("left out, not text files: %s (images and PDF files are given by their path, or by a pattern with their extension, such as *.png)", few(binary))
	default:
		limits.note("left out, not text files: %s", few(binary))
	}
	if len(encoded) > 0 {
		limits.note("left out, not UTF-8 text: %s (save texts in other encodings as UTF-8)", few(encoded))
	}
	if len(files) == 0 && len(patterns) > 0 {
		return nil, fmt.Errorf("reading %s in %s: %w that is text", strings.Join(patterns, ", "), d.path, ErrNoMatch)
	}
	return files, nil
}

// Glob reads the files that match one pattern, in any folder. Use it for patterns
// typed by the user, not for patterns from a file. The paths of files
// outside the working directory are absolute. Errors are those of [Dir.Read].
func Glob(ctx context.Context, pattern string, limits Limits) ([]File, error) {
	base, rest, prefix := ".", pattern, ""
	if !filepath.IsLocal(filepath.Clean(pattern)) {
		abs, err := filepath.Abs(pattern)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", pattern, err)
		}
		base, rest = doublestar.SplitPattern(filepath.ToSlash(abs))
		prefix = base
	}
	dir, err := Open(base)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	files, err := dir.Read(ctx, []string{rest}, limits)
	for i := range files {
		files[i].Path = path.Join(prefix, files[i].Path)
	}
	return files, err
}

// Check returns an error unless every pattern matches a file. It reads no file.
func (d *Dir) Check(ctx context.Context, patterns []string) error {
	_, err := d.find(ctx, patterns, Limits{})
	return err
}

// List lists the files that match the patterns, sorted, without reading any.
// Errors are those of [Dir.Read].
func (d *Dir) List(ctx context.Context, patterns []string, limits Limits) ([]string, error) {
	names, err := d.find(ctx, patterns, limits)
	if err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(names)), nil
}

// found is how the patterns found a file.
type found struct {
	named bool // a pattern is the path of the file itself
	media bool // that, or it ends in an extension of images and documents
}

// find returns the files that match the patterns.
func (d *Dir) find(ctx context.Context, patterns []string, limits Limits) (map[string]found, error) {
	most := defaultFiles
	if limits.Files > 0 {
		most = limits.Files
	}
	names := map[string]found{}
	for _, given := range patterns {
		pattern, err := d.relative(given)
		if err != nil {
			return nil, err
		}
		count, wanted := 0, wantsMedia(pattern)
		visit := func(name string, entry fs.DirEntry) error {
			if err := ctx.Err(); err != nil {
				return llm.ContextError(ctx)
			}
			if entry.IsDir() || ignored(name, pattern) {
				return nil
			}
			if name != pattern && !entry.Type().IsRegular() {
				if why := d.unfit(name); why != nil {
					if !errors.Is(why, errFolder) {
						limits.note("%s is left out: %v", name, why)
					}
					return nil
				}
			}
			count++
			was := names[name]
			named := was.named || name == pattern
			names[name] = found{named, was.media || named || wanted}
			if len(names) > most {
				return fmt.Errorf("reading %s: more than %d files; name fewer", given, most)
			}
			return nil
		}
		if err := d.glob(pattern, visit); err != nil {
			return nil, err
		}
		if count == 0 {
			return nil, fmt.Errorf("reading %s in %s: %w", given, d.path, ErrNoMatch)
		}
	}
	return names, nil
}

// errFolder is why a link to a folder is left out. Globs follow none.
var errFolder = errors.New("it is a folder")

// unfit returns why a link, or something else that is no regular file, cannot be
// read; nil for a link to a regular file in the folder.
func (d *Dir) unfit(name string) error {
	info, err := d.root.Stat(filepath.FromSlash(name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("the link is broken")
	case err != nil:
		return errors.New("the link leads out of " + d.path)
	case info.IsDir():
		return errFolder
	case !info.Mode().IsRegular():
		return openfile.ErrNotRegular
	}
	return nil
}

func (d *Dir) glob(pattern string, visit func(string, fs.DirEntry) error) error {
	// A file whose name has glob characters is found by its exact name.
	if info, err := d.root.Stat(pattern); err == nil {
		if info.IsDir() {
			return fmt.Errorf("reading %s: it is a folder; write %s for all files in it", pattern, path.Join(pattern, "**"))
		}
		return visit(pattern, fs.FileInfoToDirEntry(info))
	}
	if !doublestar.ValidatePattern(pattern) {
		return fmt.Errorf("reading %s: bad pattern (an unclosed [ or {)", pattern)
	}
	return doublestar.GlobWalk(d.root.FS(), pattern, visit, doublestar.WithFilesOnly(), doublestar.WithNoFollow())
}

// relative returns the pattern relative to the folder, with forward slashes.
func (d *Dir) relative(pattern string) (string, error) {
	rel := pattern
	if filepath.IsAbs(pattern) {
		var err error
		if rel, err = filepath.Rel(d.path, pattern); err != nil {
			return "", fmt.Errorf("reading %s: %w", pattern, err)
		}
	}
	rel = path.Clean(filepath.ToSlash(rel))
	if !filepath.IsLocal(filepath.FromSlash(rel)) {
		return "", fmt.Errorf("reading %s: it is outside %s; start in a folder that contains it", pattern, d.path)
	}
	return rel, nil
}

func (d *Dir) readFile(name string, most int64) ([]byte, error) {
	f, err := openfile.In(d.root, name)
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err // the path is said once
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return content, nil
}

// ReadAll reads a stream, such as the standard input, and returns it as a file
// with the given name.
func ReadAll(r io.Reader, name string, limits Limits) (File, error) {
	most := int64(defaultBytes)
	if limits.Bytes > 0 {
		most = limits.Bytes
	}
	content, err := io.ReadAll(io.LimitReader(r, most+1))
	switch {
	case err != nil:
		return File{}, fmt.Errorf("reading %s: %w", name, err)
	case int64(len(content)) > most:
		return File{}, fmt.Errorf("reading %s: it is larger than %d MiB", name, most>>20)
	}
	text, converted, err := decode(content)
	if err != nil {
		return File{}, fmt.Errorf("reading %s: %w", name, err)
	}
	if converted != "" {
		limits.note("%s was converted from %s to UTF-8", name, converted)
	}
	return File{Path: name, Content: text}, nil
}

// Text returns the files formatted for a prompt: each fenced and labelled with
// its path. Images and documents are in [Blocks] instead.
func Text(files []File) string {
	var parts []string
	for _, f := range files {
		if f.Type == "" {
			parts = append(parts, llm.Fence("file", "path", f.Path, f.Content))
		}
	}
	return strings.Join(parts, "\n\n")
}

// ignored reports whether a file is in a folder that globs skip.
func ignored(name, pattern string) bool {
	for _, dir := range []string{".git", "node_modules"} {
		if within(name, dir) && !within(pattern, dir) {
			return true
		}
	}
	return false
}

func within(name, dir string) bool {
	return slices.Contains(strings.Split(path.Dir(name), "/"), dir)
}

// few joins at most five names, and the number of the others.
func few(names []string) string {
	if len(names) > 5 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:5], ", "), len(names)-5)
	}
	return strings.Join(names, ", ")
}
