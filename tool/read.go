package tool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/claude-force/claude-force/internal/openfile"
	"github.com/claude-force/claude-force/llm"
)

// Bounds of Read.
const (
	maxWhole    = 256 << 10 // bytes of a file that is read without a limit
	maxFile     = 64 << 20  // bytes of a file that is read at all
	maxTokens   = 25_000    // of one result
	countedFrom = 25_000    // characters from which tokens are counted
)

// Read returns the tool that reads a file.
func Read() Tool { return readTool{} }

type readTool struct{}

func (readTool) Definition() llm.Tool {
	return llm.Tool{Name: "Read", Description: `Reads a file and returns its lines, each as its number, a tab and its text.

- file_path is absolute, or relative to the current folder.
- Without offset and limit the whole file is returned, up to 256 KB. Of a larger file, read parts with offset (the first line) and limit (how many lines). A long result is cut at about 25,000 tokens.
- Images (PNG, JPEG, GIF, WebP), PDF files and Jupyter notebooks are returned as what they show.
- A folder cannot be read; list it with Glob or a command.`, InputSchema: schema(`{
	"type": "object", "additionalProperties": false, "required": ["file_path"],
	"properties": {
		"file_path": {"type": "string", "description": "the file"},
		"offset": {"type": "integer", "description": "number of the first line; the first of the file is 1"},
		"limit": {"type": "integer", "description": "how many lines"},
		"pages": {"type": "string", "description": "pages of a PDF file, such as 3 or 1-5; at most 20"},
		"allow_large": {"type": "boolean", "description": "return all of a large file"}
	}}`)}
}

func (readTool) Concurrent(json.RawMessage) bool { return true }

type readInput struct {
	FilePath   string `json:"file_path"`
	Offset     *int   `json:"offset"`
	Limit      int    `json:"limit"`
	Pages      string `json:"pages"`
	AllowLarge bool   `json:"allow_large"`
}

// Sight says that each call notes what it saw.
func (readTool) Sight(json.RawMessage) Sight { return SightNoted }

func (t readTool) Call(ctx context.Context, env *Env, input json.RawMessage) (Result, error) {
	result, f, err := t.read(ctx, env, input)
	if f.path == "" {
		env.noteFailed("Read", input, result, err)
	} else {
		env.noteCall(SawFile, f.path, string(f.data), "Read", input) // whether it can be shown follows from it
	}
	if err == nil && !result.IsError && env.options.Beside != nil {
		texts, files := env.options.Beside(f.path)
		for _, text := range texts {
			result.Notes = append(result.Notes, llm.TextBlock(text))
		}
		for _, file := range files {
			env.NoteRead(file) // the model has seen it too
		}
	}
	return result, err
}

// read reads the file and returns it too; its path is empty if it cannot be read.
func (readTool) read(ctx context.Context, env *Env, input json.RawMessage) (result Result, f file, err error) {
	in, err := parse[readInput](input)
	if err != nil {
		return Result{}, file{}, err
	}
	path := env.Abs(in.FilePath)
	if f, err = env.read(path, maxFile); err != nil {
		return Result{}, file{}, env.readError(path, err)
	}
	extension := strings.ToLower(filepath.Ext(path))
	switch {
	case slices.Contains(imageExtensions, extension):
		env.noteKnown(f, true)
		result, err = readImage(path, f.data)
		return result, f, err
	case extension == ".pdf":
		env.noteKnown(f, true)
		result = readPDF(path, f.data, in.Pages)
		return result, f, err
	case extension == ".ipynb":
		env.noteKnown(f, true)
		result, err = readNotebook(path, f.data)
		return result, f, err
	case slices.Contains(binaryExtensions, extension):
		return Failed(fmt.Sprintf("Cannot read %s: %s files are binary. Use a command that understands them.", path, extension)), f, nil
	}
	if len(f.data) > maxWhole && in.Limit <= 0 && !in.AllowLarge {
		return Failed(fmt.Sprintf("%s has %d KB; at most %d KB are read at once. Read a part of it with offset and limit, or search it.", path, len(f.data)>>10, maxWhole>>10)), f, nil
	}
	text := decode(f.data)
	if text.nul && extension != "" && !slices.Contains(textExtensions, extension) {
		return Failed(fmt.Sprintf("Cannot read %s: it has NUL bytes, so it is binary. Use a command that understands it.", path)), f, nil
	}
	result, whole := env.lines(ctx, path, text, in)
	if !result.IsError {
		env.noteKnown(f, whole)
	}
	return result, f, nil
}

// lines returns the part of a text that was asked for, with numbers, and whether
// that is all of it.
func (e *Env) lines(ctx context.Context, path string, t textFile, in readInput) (Result, bool) {
	if t.text == "" {
		return Text(reminder(fmt.Sprintf("%s exists and is empty.", path))), true
	}
	lines := strings.Split(strings.TrimSuffix(strings.ReplaceAll(t.text, "\r\n", "\n"), "\r"), "\n")
	total, first := len(lines), 1
	if in.Offset != nil && *in.Offset >= 0 {
		first = *in.Offset
		skip := max(0, first-1)
		if skip >= total {
			return Text(reminder(fmt.Sprintf("%s has %d lines, fewer than the offset %d. Nothing was read.", path, total, first))), false
		}
		lines = lines[skip:]
	}
	if in.Limit > 0 && in.Limit < len(lines) {
		lines = lines[:in.Limit]
	}
	raw := strings.Join(lines, "\n")
	var notes []llm.Block
	if tokens := e.tokens(ctx, raw, countedFrom); tokens > maxTokens && !in.AllowLarge {
		if in.Limit > 0 {
			return Failed(fmt.Sprintf("These lines of %s have about %d tokens; at most %d are returned. Use a smaller limit, or search the file.", path, tokens, maxTokens)), false
		}
		kept := cut(raw, units(raw)*maxTokens/100*85/tokens)
		lines = strings.Split(kept, "\n")
		next := max(1, first) + len(lines)
		notes = append(notes, llm.TextBlock(reminder(fmt.Sprintf(
			"The result was cut: it shows %d of the %d lines of %s, which have about %d tokens; at most %d are returned. Go on with offset %d and a limit.",
			len(lines), total, path, tokens, maxTokens, next))))
	}
	var b strings.Builder
	for i, line := range lines {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(strconv.Itoa(first + i))
		b.WriteByte('\t')
		b.WriteString(line)
	}
	switch {
	case t.nul:
		b.WriteString("\n\n" + noticeNUL)
	case t.invalid:
		b.WriteString("\n\n" + noticeInvalid)
	}
	return Result{Text: b.String(), Notes: notes}, len(lines) == total
}

// Notices below the text of a file whose bytes are not all text. Agents' prompts
// and recorded conversations rely on the words.
const (
	noticeInvalid = "[This file is not valid UTF-8: it uses a legacy encoding such as Windows-1252, Shift-JIS or GBK, or it is binary. Its undecodable bytes show above as U+FFFD. Edit and Write will refuse it: change it with a shell command that keeps its encoding, or ask the user whether to convert it to UTF-8.]"
	noticeNUL     = "[This file has NUL bytes in its first 8 KB: binary data, UTF-16/UTF-32 without a byte-order mark, or text with embedded NULs. Edit and Write will refuse it: change it with a shell command that keeps its encoding, or ask the user whether to convert it to UTF-8.]"
)

// cut returns the start of a text of at most n characters, whole lines if there is
// one.
func cut(text string, n int) string {
	head := firstUnits(text, n)
	if i := strings.LastIndexByte(head, '\n'); i > 0 {
		return head[:i]
	}
	return head
}

// tokens returns about how many tokens a text has; 0 for one of at most few
// characters, which is not counted.
func (e *Env) tokens(ctx context.Context, text string, few int) int {
	if units(text) <= few {
		return 0
	}
	if count := e.options.CountTokens; count != nil {
		if n, err := count(ctx, text); err == nil {
			return n
		}
	}
	return estimate(text)
}

// CountTokens returns about how many tokens a text has.
func (e *Env) CountTokens(ctx context.Context, text string) int { return e.tokens(ctx, text, 0) }

// estimate returns about how many tokens a text has: a quarter of its bytes in a
// request.
func estimate(text string) int {
	const frame = 80 // of the request around it
	n := len(text) + frame
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"' || c == '\\' || c == '\n' || c == '\r' || c == '\t' || c == '\b' || c == '\f':
			n++
		case c < 0x20:
			n += len(`\u0000`) - 1
		}
	}
	return n / 4
}

// reminder marks a text as a remark of the system about a result.
func reminder(text string) string {
	return "<system-reminder>" + text + "</system-reminder>"
}

// readError returns the error of a file that could not be read, for the model.
func (e *Env) readError(path string, err error) error {
	tooLarge, isTooLarge := errors.AsType[*openfile.TooLargeError](err)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, ErrOutside):
		text := fmt.Sprintf("%s does not exist. The current folder is %s.", path, e.Cwd())
		if errors.Is(err, ErrOutside) {
			text = fmt.Sprintf("%s is outside the folders that were granted. The current folder is %s.", path, e.Cwd())
		}
		if similar := e.similar(path); similar != "" {
			text += " Did you mean " + similar + "?"
		}
		return errors.New(text)
	case errors.Is(err, syscall.EISDIR):
		return fmt.Errorf("%s is a folder (EISDIR: illegal operation on a directory, read). List it with Glob or a command", path)
	case errors.Is(err, ErrDenied):
		return fmt.Errorf("%s may not be read: a permission rule denies it", path)
	case isTooLarge:
		return fmt.Errorf("%s is larger than %d MB; read parts of it with a command, or search it", path, tooLarge.Limit>>20)
	}
	return fmt.Errorf("cannot read %s: %w", path, cause(err))
}

// cause returns an error without the operation and the name that fs errors add.
func cause(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}

// similar returns a file that may be meant by a missing one: in the same folder
// with another extension, or of the same name in the current folder.
func (e *Env) similar(path string) string {
	dir, base := filepath.Dir(path), filepath.Base(path)
	stem := strings.TrimSuffix(base, filepath.Ext(base))
	entries, _ := e.readDir(dir) // no folder, no suggestion
	for _, d := range entries {
		name := d.Name()
		if !d.IsDir() && name != base && strings.TrimSuffix(name, filepath.Ext(name)) == stem && e.visible(filepath.Join(dir, name)) {
			return filepath.Join(dir, name)
		}
	}
	here := filepath.Join(e.Cwd(), base)
	if info, err := e.stat(here); err == nil && info.Mode().IsRegular() && e.visible(here) {
		return here
	}
	return ""
}

// visible reports whether no rule denies reading a file.
func (e *Env) visible(path string) bool {
	p, err := e.locate(path, true)
	return err == nil && e.allowed(OpRead, p) == nil
}

var (
	imageExtensions  = []string{".png", ".jpg", ".jpeg", ".gif", ".webp"}
	binaryExtensions = []string{
		".7z", ".a", ".aac", ".avi", ".bmp", ".bz2", ".class", ".dll", ".dmg", ".doc", ".docx", ".dylib", ".eot", ".exe", ".flac", ".gz",
		".heic", ".ico", ".iso", ".jar", ".lib", ".m4a", ".mkv", ".mov", ".mp3", ".mp4", ".mpeg", ".o", ".obj", ".odp", ".ods", ".odt",
		".ogg", ".otf", ".ppt", ".pptx", ".pyc", ".pyo", ".rar", ".rpm", ".so", ".sqlite", ".tar", ".tgz", ".tif", ".tiff", ".ttf",
		".wasm", ".wav", ".webm", ".wmv", ".woff", ".woff2", ".xls", ".xlsx", ".xz", ".zip", ".zst",
	}
	// textExtensions are those whose files are shown although they have NUL bytes.
	textExtensions = []string{
		".bat", ".c", ".cc", ".cfg", ".conf", ".cpp", ".cs", ".css", ".csv", ".go", ".h", ".hpp", ".htm", ".html", ".ini", ".java", ".js",
		".json", ".jsx", ".kt", ".log", ".lua", ".md", ".php", ".pl", ".ps1", ".py", ".rb", ".rs", ".rst", ".sh", ".sql", ".svg", ".swift",
		".toml", ".ts", ".tsv", ".tsx", ".txt", ".xml", ".yaml", ".yml",
	}
)

// schema returns a JSON Schema as it is sent, without the spaces of its source.
func schema(text string) json.RawMessage {
	var compact strings.Builder
	enc := json.NewEncoder(&compact)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(json.RawMessage(text)); err != nil {
		panic(err) // a constant of this package is no JSON
	}
	return json.RawMessage(strings.TrimSpace(compact.String()))
}
