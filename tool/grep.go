package tool

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize/english"
	"golang.org/x/sync/errgroup"

	"github.com/claude-force/claude-force/llm"
)

// Bounds of Grep.
const (
	maxMatches  = 250       // lines or files that are listed without head_limit
	maxGrep     = 20_000    // characters of a result
	maxColumns  = 500       // bytes of a line that is shown
	maxCollect  = 16 << 20  // bytes of a result that is kept in memory
	grepBatch   = 128       // files that are searched before looking whether it is enough
	maxSearched = 256 << 20 // bytes of a file that is searched
)

// Grep returns the tool that searches the content of files.
func Grep() Tool { return grepTool{} }

type grepTool struct{}

func (grepTool) Definition() llm.Tool {
	return llm.Tool{Name: "Grep", Description: `Searches files for a regular expression.

- The syntax is that of ripgrep: write \{ for a brace. It is matched line by line; with multiline, a match may span lines and . matches line breaks.
- output_mode: files_with_matches (the default) lists files, the most recently changed first; content shows lines; count counts them.
- glob (*.go, *.{ts,tsx}, !vendor) and type (go, py, js, …) choose files. Files that .gitignore names are left out, hidden ones are searched.
- At most 250 lines or files are returned, see head_limit and offset.`, InputSchema: schema(`{
	"type": "object", "additionalProperties": false, "required": ["pattern"],
	"properties": {
		"pattern": {"type": "string", "description": "the regular expression"},
		"path": {"type": "string", "description": "the file or folder to search; without it, the current folder"},
		"glob": {"type": "string", "description": "which files, by name"},
		"type": {"type": "string", "description": "which files, by kind"},
		"output_mode": {"type": "string", "enum": ["content", "files_with_matches", "count"]},
		"-A": {"type": "number", "description": "lines to show after a match"},
		"-B": {"type": "number", "description": "lines to show before a match"},
		"-C": {"type": "number", "description": "lines to show around a match"},
		"context": {"type": "number", "description": "the same as -C"},
		"head_limit": {"type": "number", "description": "how many lines or files; 250 without it, 0 for all"},
		"offset": {"type": "number", "description": "how many lines or files to skip"},
		"-n": {"type": "boolean", "description": "show line numbers, which is the default"},
		"-i": {"type": "boolean", "description": "ignore case"},
		"-o": {"type": "boolean", "description": "show only what matches of a line"},
		"multiline": {"type": "boolean", "description": "let a match span lines"}
	}}`)}
}

func (grepTool) Concurrent(json.RawMessage) bool { return true }

type grepInput struct {
	Pattern   string   `json:"pattern"`
	Path      string   `json:"path"`
	Glob      string   `json:"glob"`
	Type      string   `json:"type"`
	Mode      string   `json:"output_mode"`
	After     float64  `json:"-A"`
	Before    float64  `json:"-B"`
	Around    *float64 `json:"-C"`
	Context   *float64 `json:"context"`
	HeadLimit *float64 `json:"head_limit"`
	Offset    float64  `json:"offset"`
	Numbers   *bool    `json:"-n"`
	Ignore    bool     `json:"-i"`
	Only      bool     `json:"-o"`
	Multiline bool     `json:"multiline"`
}

// search is a call of Grep, ready to run.
type search struct {
	grepInput
	env           *Env
	pattern       *pattern
	globs         globs
	single        bool // one file, so lines have no path
	before, after int
	offset, limit int // limit 0 is none

	seen string // what the result says apart from the order of files, if all are listed
}

// Sight says that each call notes what it saw.
func (grepTool) Sight(json.RawMessage) Sight { return SightNoted }

func (t grepTool) Call(ctx context.Context, env *Env, input json.RawMessage) (Result, error) {
	result, err := t.search(ctx, env, input)
	if err != nil || result.IsError {
		env.noteFailed("Grep", input, result, err)
	}
	return result, err
}

// search searches the files, and notes what it found if it can.
func (grepTool) search(ctx context.Context, env *Env, input json.RawMessage) (Result, error) {
	in, err := parse[grepInput](input)
	if err != nil {
		return Result{}, err
	}
	s := &search{grepInput: in, env: env, offset: max(0, int(in.Offset)), limit: maxMatches, before: int(in.Before), after: int(in.After)}
	if in.HeadLimit != nil {
		s.limit = max(0, int(*in.HeadLimit))
	}
	for _, around := range []*float64{in.Around, in.Context} {
		if around != nil {
			s.before, s.after = int(*around), int(*around)
		}
	}
	if s.pattern, err = newPattern(in.Pattern, in.Ignore, in.Multiline); err != nil {
		return Result{}, err
	}
	if s.globs, err = newGlobs(splitGlobs(in.Glob)...); err != nil {
		return Result{}, err
	}
	types, err := typeGlobs(in.Type)
	if err != nil {
		return Result{}, err
	}
	files, err := s.files(ctx, env.Abs(in.Path), types)
	if err != nil {
		return Result{}, err
	}
	text, err := s.run(ctx, files)
	if err != nil {
		return Result{}, err
	}
	env.noteCall(SawGrep, string(input), cmp.Or(s.seen, text), "Grep", input)
	return Text(env.Bound("Grep", text, maxGrep)), nil
}

// splitGlobs separates globs at commas and spaces that are not in braces.
func splitGlobs(text string) []string {
	depth := 0
	return strings.FieldsFunc(text, func(r rune) bool {
		switch r {
		case '{':
			depth++
		case '}':
			depth--
		case ',', ' ':
			return depth <= 0
		}
		return false
	})
}

// files returns the files to search, in the order of their paths.
func (s *search) files(ctx context.Context, path string, types globs) ([]found, error) {
	info, err := s.env.stat(path)
	if err != nil {
		return nil, s.env.folderError(path, err)
	}
	if !info.IsDir() {
		s.single = true
		return []found{{s.env.real(path), filepath.Base(path), info.Size(), info.ModTime()}}, nil
	}
	var files []found
	err = s.env.walk(ctx, path, walkOptions{ignoreFiles: true, globs: s.globs}, func(f found) error {
		if f.size <= maxSearched && s.globs.match(f.rel) && types.match(f.rel) {
			files = append(files, f)
		}
		return nil
	})
	if err != nil {
		return nil, s.env.folderError(path, err)
	}
	return s.env.ripgrep(ctx, files, s.pattern, s.Multiline), nil
}

// run searches files and returns the result.
func (s *search) run(ctx context.Context, files []found) (string, error) {
	enough := 0 // lines after which nothing more is shown
	if s.Mode == "content" && s.limit > 0 {
		enough = s.offset + s.limit + 1
	}
	var results []fileMatches
	lines, size := 0, 0
	for batch := range slices.Chunk(files, grepBatch) {
		found := make([]fileMatches, len(batch))
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(runtime.GOMAXPROCS(0))
		for i, f := range batch {
			group.Go(func() error {
				if err := ctx.Err(); err != nil {
					return err
				}
				found[i] = s.file(f)
				return found[i].err
			})
		}
		if err := group.Wait(); err != nil {
			return "", err
		}
		for _, m := range found {
			if m.count == 0 {
				continue
			}
			results = append(results, m)
			lines += len(m.lines)
			for _, l := range m.lines {
				size += len(l)
			}
		}
		if enough > 0 && lines >= enough || size > maxCollect {
			break
		}
	}
	switch s.Mode {
	case "content":
		return s.content(results), nil
	case "count":
		return s.counts(results), nil
	default:
		return s.names(results), nil
	}
}

func (s *search) names(results []fileMatches) string {
	slices.SortStableFunc(results, func(a, b fileMatches) int { return b.file.changed.Compare(a.file.changed) })
	names := make([]string, len(results))
	for i, m := range results {
		names[i] = s.env.shown(m.file.path)
	}
	shown, paging := s.page(names)
	if len(shown) == 0 {
		return "No files found"
	}
	if paging != "" {
		paging = " " + paging
	} else {
		s.seen = strings.Join(slices.Sorted(slices.Values(shown)), "\n")
	}
	return fmt.Sprintf("Found %s%s\n%s", english.Plural(len(shown), "file", ""), paging, strings.Join(shown, "\n"))
}

func (s *search) content(results []fileMatches) string {
	var lines []string
	for _, m := range results {
		if len(lines) > 0 && s.before+s.after > 0 {
			lines = append(lines, "--")
		}
		prefix := ""
		if !s.single {
			prefix = s.env.shown(m.file.path)
		}
		for _, l := range m.lines {
			if prefix != "" && l != "--" {
				l = prefix + l
			} else if prefix == "" && l != "--" {
				l = l[1:]
			}
			lines = append(lines, l)
		}
	}
	shown, paging := s.page(lines)
	text := strings.Join(shown, "\n")
	if len(shown) == 0 {
		text = "No matches found"
	}
	if paging != "" {
		text += "\n\n[Showing results with pagination = " + paging + "]"
	}
	return text
}

func (s *search) counts(results []fileMatches) string {
	lines, total := make([]string, len(results)), 0
	for i, m := range results {
		lines[i] = s.env.shown(m.file.path) + ":" + strconv.Itoa(m.count)
		total += m.count
	}
	shown, paging := s.page(lines)
	text := strings.Join(shown, "\n")
	if len(shown) == 0 {
		text = "No matches found"
	}
	text += fmt.Sprintf("\n\nFound %d total %s across %s.", total, english.PluralWord(total, "occurrence", ""), english.Plural(len(results), "file", ""))
	if paging != "" {
		text += " with pagination = " + paging
	}
	return text
}

// page returns the part of a list that is shown, and what to say about it if it is
// not all.
func (s *search) page(list []string) (shown []string, paging string) {
	var parts []string
	shown = list[min(s.offset, len(list)):]
	if s.limit > 0 && len(shown) > s.limit {
		shown = shown[:s.limit]
		parts = append(parts, "limit: "+strconv.Itoa(s.limit))
	}
	if s.offset > 0 {
		parts = append(parts, "offset: "+strconv.Itoa(s.offset))
	}
	return shown, strings.Join(parts, ", ")
}
