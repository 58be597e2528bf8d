package runs

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/workflow"
)

// OutputFile is an output of a run as a file of a folder.
type OutputFile struct {
	Path    string `json:"path"`            // with slashes, from the folder
	Step    string `json:"step,omitempty"`  // whose output it is; empty for that of the run
	Item    string `json:"item,omitempty"`  // of a foreach, as people call it
	Saved   string `json:"saved,omitempty"` // where the run saved the same
	Bytes   int    `json:"bytes"`
	SHA256  string `json:"sha256"`
	Content string `json:"-"`
}

// OutputFiles returns the outputs of a run as files: output.EXT if the workflow says what
// its output is, and for each step steps/STEP.EXT, with foreach steps/STEP/ITEM.EXT.
// Refs are the tasks of the run, nil for that of a workflow. What a step saves has the
// extension and the format that its save says; else JSON objects and lists are .json,
// answers of agents .md and all else .txt.
func OutputFiles(wf *workflow.Workflow, res *engine.Result, refs TaskRefs) []OutputFile {
	w := outputWriter{taken: map[string]bool{}, saved: map[[2]string]string{}}
	for _, f := range res.Files {
		w.saved[[2]string{f.Step, f.Item}] = f.Path
	}
	if OutputAlone(wf, res) {
		w.add(&workflow.Step{Agent: "output", Save: wf.Save}, OutputFile{Path: "output"}, res.Output, "")
	}
	for _, s := range wf.Steps {
		step := res.Steps[s.ID]
		switch {
		case step == nil:
		case s.Foreach == nil:
			if step.Output != "" {
				w.add(s, OutputFile{Path: "steps/" + s.ID, Step: s.ID}, step.Output, "")
			}
		default:
			for i, item := range step.Items {
				if item.Output == "" {
					continue
				}
				f := OutputFile{Step: s.ID, Item: item.Item}
				if tasks := refs[s.ID]; i < len(tasks) {
					f.Item = tasks[i].ID
				}
				name, changed := fileNameOf(f.Item)
				if f.Path = "steps/" + s.ID + "/" + name; changed {
					f.Path += "-" + short(item.Key)
				}
				w.add(s, f, item.Output, short(item.Key))
			}
		}
	}
	return w.files
}

// outputWriter collects the files of outputs.
type outputWriter struct {
	files []OutputFile
	taken map[string]bool      // paths, see [workflow.SameFile]
	saved map[[2]string]string // by step and item
}

// add adds a file with the output of a step. Its path has no extension yet, and the
// suffix tells it from another of the same name.
func (w *outputWriter) add(s *workflow.Step, f OutputFile, output, suffix string) {
	v := engine.ParseOutput(s, output)
	f.Content = strings.TrimRight(output, "\n") + "\n"
	ext := s.Save.Extension()
	if ext != "" {
		if content, err := s.Save.Content("output"+ext, output, v); err == nil {
			f.Content = content
		} else {
			ext = "" // it could not be saved in that format
		}
	}
	if ext == "" {
		ext = extensionOf(s, v)
	}
	if ext == ".json" && s.Save == nil {
		if text, err := workflow.Encode(v); err == nil {
			f.Content = text + "\n"
		}
	}
	base := f.Path
	for n := 1; ; n++ {
		f.Path = base + ext
		if key := workflow.SameFile(f.Path); !w.taken[key] {
			w.taken[key] = true
			break
		}
		if base += "-" + suffix; n > 1 || suffix == "" {
			base = fmt.Sprintf("%s-%d", strings.TrimSuffix(base, "-"), n)
		}
	}
	sum := sha256.Sum256([]byte(f.Content))
	f.Bytes, f.SHA256, f.Saved = len(f.Content), hex.EncodeToString(sum[:]), w.saved[[2]string{f.Step, f.Item}]
	w.files = append(w.files, f)
}

// extensionOf returns the extension of a file with the output of a step, whose value is
// v; nil if it is not JSON.
func extensionOf(s *workflow.Step, v any) string {
	_, isList := v.([]any)
	_, isObject := v.(workflow.Object)
	switch {
	case v != nil && (isList || isObject || s.Schema != nil):
		return ".json"
	case s.Agent != "":
		return ".md"
	}
	return ".txt"
}

// short returns the beginning of the key of an item.
func short(key string) string { return key[:min(len(key), 8)] }

// maxFileName is how many bytes of what people call an item are in the name of its file.
const maxFileName = 80

// fileNameOf returns a text as the name of a file without an extension: one that stays
// in its folder and that every file system takes. It reports whether that is another text.
func fileNameOf(text string) (name string, changed bool) {
	name = strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || r == '-' || r == '_' || r == '.' {
			return r
		}
		return '-'
	}, strings.ToValidUTF8(text, "-"))
	if len(name) > maxFileName {
		for name = name[:maxFileName]; !utf8.ValidString(name); {
			name = name[:len(name)-1]
		}
	}
	name = strings.Trim(name, ".-")
	switch base, _, _ := strings.Cut(strings.ToLower(name), "."); {
	case name == "":
		name = "item"
	case reserved[base] || len(base) == 4 && (strings.HasPrefix(base, "com") || strings.HasPrefix(base, "lpt")):
		name = "item-" + name
	}
	return path.Base(name), name != text
}

// reserved are names of devices on Windows.
var reserved = map[string]bool{"con": true, "prn": true, "aux": true, "nul": true}
